"""`body.schema` → a Contract: the schema's files as they are now, found to be usable."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Literal

from agent.config.contract_map import misfits
from agent.config.files import shown
from agent.config.model import Contract, MapNode, SchemaFile, Where
from agent.config.places import place_of
from agent.config.view import View
from agent.contracts import ContractError, compiled, gather

LARGEST = 4 * 1024 * 1024
"""Bytes of one file of a schema."""


_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def check_map(body: View, contract: Contract | None, tree: MapNode | None, nulls: str) -> None:
    """Tell at its line what of the map cannot fulfil the schema, whatever the records are."""
    node, where = body.node("map"), body.at("map")
    if contract is None or tree is None or node is None:
        return
    for one in misfits(contract, tree, drop=nulls == "drop", types={}):
        place = place_of(node, one.steps)
        inside = bool(one.steps)
        at = Where(
            file=where.file,
            line=place.line if inside else where.line,
            column=place.column if inside else where.column,
            path=f"{where.path}{place.path if place.path.startswith('[') else '.' + place.path}"
            if inside
            else where.path,
        )
        body.found.error(at, one.message, one.hint)


def build_contract(body: View, kind: Literal["json", "xsd"]) -> Contract | None:
    """None when there is none, or when it is wrong: then that has been told."""
    path, where = body.path("schema"), body.at("schema")
    if path is None:
        if body.word("check", "all") != "all":  # the default may stand there
            message, hint = "there is no `schema` to check records against", "add it, or delete `check`"
            body.found.error(body.at("check"), message, hint)
        return None
    if _REMOTE.match(written := body.text("schema") or ""):
        message = f"{written} is not read: nothing is fetched over the network"
        body.found.error(where, message, "save that file in the config folder and name it by its path")
        return None

    def read(name: str) -> bytes:
        body.found.beside.add(name)
        kept = body.found.kept.get(name)
        return _read(Path(name), body.folder) if kept is None else kept

    try:
        files = gather(kind, os.path.normpath(path), read)
        compiled(kind, files)
    except ContractError as error:
        body.found.error(where, error.message, error.hint)
        return None
    return Contract(
        kind=kind,
        files=tuple(SchemaFile(path=name, text=text) for name, text in files),
        check=body.word("check", "all"),
        where=where,
    )


def _read(path: Path, root: Path) -> bytes:
    """Raises ContractError for what is no file of a sensible size."""
    name = shown(path.relative_to(root) if path.is_relative_to(root) else path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        said = (error.strerror or "").lower() if isinstance(error, OSError) else "its path is wrong"
        hint = "a relative path starts at the config folder"
        raise ContractError(f"{name} cannot be read: {said}", hint) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ContractError(f"{name} is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise ContractError(f"{name} cannot be read: {(error.strerror or '').lower()}") from None
    finally:
        os.close(descriptor)
    if len(text) > LARGEST:
        raise ContractError(f"{name} is larger than {LARGEST // 1024 // 1024} MiB")
    return text
