"""`push-agent dead edit`: put the body of a dead letter right, so that it can be sent again."""

from __future__ import annotations

import base64
import gzip
import hashlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.dead_desk import desk
from agent.commands.dead_screen import plain
from agent.commands.dead_text import JSON, ending_of, format_of, pretty, records_of, trouble
from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import good, note
from agent.errors import AgentError, UsageError
from agent.phrases import counted

if TYPE_CHECKING:
    from agent.message import DeadLetter

_MOST_EDITED = 50_000_000
"""Bytes that an editor is given: more belongs into a program, and comes back by --body."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """How a body is asked for."""

    given: Path | None
    """Where the new body is; None: an editor makes it."""
    laid_out: bool
    force: bool


@click.command(
    "edit",
    epilog="""\b
Examples:
  push-agent dead edit 17                                   in $VISUAL or $EDITOR
  push-agent dead edit 17 --pretty                          JSON one value a line; it stays so
  push-agent dead edit 17 --body fixed.json
  push-agent dead show 17 --body | sed s/kmh/km/ | push-agent dead edit 17 --body -
  push-agent dead edit 17 --undo                            as it died
""",
)
@config_option
@state_option
@output_option
@click.argument("id", type=int)
@click.option(
    "--body",
    "given",
    type=click.Path(path_type=Path, allow_dash=True, dir_okay=False),
    help="Take the body from this file instead; - is standard input.",
)
@click.option("--pretty", "laid_out", is_flag=True, help="Give the editor JSON one value a line.")
@click.option("--force", is_flag=True, help="Store a body that is not well-formed, or empty.")
@click.option("--undo", is_flag=True, help="Back to the body and the key that it died with.")
def edit_command(  # noqa: PLR0917 - one for each option
    config: Path,
    state: Path | None,
    output: str,
    id: int,  # noqa: A002 - the user's word
    given: Path | None,
    laid_out: bool,  # noqa: FBT001
    force: bool,  # noqa: FBT001
    undo: bool,  # noqa: FBT001
) -> int:
    """Change the body of a dead letter; nothing is sent before `dead retry`.

    An edited body is another request, so it gets another idempotency key (KEY.e1): under the old one, a
    target that has seen it would take the new body for a repetition of the old one. The body that it died
    with is kept until the letter is sent or dropped.
    """
    folder = state_folder(config, state)
    if undo:
        if given is not None:
            raise UsageError("--undo and --body exclude each other", hint="leave one of them out")
        with desk(config, folder, "edit") as ask:
            answer = ask({"action": "undo", "id": id})
        return _told(answer, output, "as it died again")
    letter = _letter(folder, id)
    old = plain(letter)
    new, written = _new_body(letter, old, Edit(given=given, laid_out=laid_out, force=force))
    if new == old:
        _tidy(written)
        return _told({"id": id, "key": letter.key}, output, "not changed")
    words = _words(letter, old, new)
    try:
        with desk(config, folder, "edit") as ask:
            answer = ask(words)
    except AgentError as error:
        if written is not None:
            error.hint = f"what you wrote is kept: push-agent dead edit {id} --body {written}"
        raise
    _tidy(written)
    return _told(answer, output, f"changed: {len(old):,} → {counted(len(new), 'byte')}")


def _letter(folder: Path, letter_id: int) -> DeadLetter:
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(folder) as reader:
        letter = reader.dead_letter(letter_id)
    if letter is None:
        raise AgentError(f"there is no dead letter {letter_id}", hint="push-agent dead list shows all")
    if not letter.sendable:
        raise AgentError(
            f"dead letter {letter_id} cannot be sent, so that there is no use in editing it",
            hint="it never was a request; put it right at its source",
        )
    return letter


def _words(letter: DeadLetter, old: bytes, new: bytes) -> dict[str, Any]:
    packed = gzip.compress(new, 6, mtime=0)
    kind = format_of(letter.content_type)
    records, counts = letter.records, records_of(new, kind)
    if counts is not None and records_of(old, kind) == records:
        records = counts
    return {
        "action": "edit",
        "id": letter.id,
        "body": base64.b64encode(packed).decode(),
        "size": len(new),
        "records": records,
        "was": hashlib.sha256(letter.body).hexdigest(),
    }


def _new_body(letter: DeadLetter, old: bytes, edit: Edit) -> tuple[bytes, Path | None]:
    """The new body, and the file that an editor wrote it to. Raises AgentError, click.Abort."""
    kind = format_of(letter.content_type)
    if edit.given is not None:
        new = _read(edit.given)
        what = _wrong(new, old, kind)
        if what and not edit.force:
            raise AgentError(f"{what}; nothing was changed", hint="--force stores it all the same")
        if what:
            click.echo(note("warning: ") + what, err=True)
        return new, None
    text = _text(letter, old)
    if edit.laid_out and kind == JSON:
        text = pretty(text, JSON)
    path = Path(tempfile.mkdtemp(prefix="push-agent-")) / f"dead-{letter.id}{ending_of(letter.content_type)}"
    path.write_bytes(text.encode())
    while True:
        click.edit(filename=str(path))
        new = path.read_bytes()
        if new == text.encode():
            return old, path
        what = _wrong(new, old, kind)
        if not what or edit.force:
            return new, path
        click.echo(note("warning: ") + what, err=True)
        asked = "edit it again (e), store it all the same (s), give it up (g)?"
        match click.prompt(asked, type=click.Choice(["e", "s", "g"]), default="e", err=True):
            case "s":
                return new, path
            case "g":
                _tidy(path)
                raise click.Abort


def _wrong(new: bytes, old: bytes, kind: str) -> str:
    """What a person should know before it is stored; "" when there is nothing."""
    if not new:
        return "the body is empty"
    what = trouble(new, kind)
    if not what:
        return ""
    was = trouble(old, kind)
    return f"it is no well-formed {kind.upper()}: {what}" + (" (nor was the old body)" if was else "")


def _text(letter: DeadLetter, body: bytes) -> str:
    hint = (
        f"push-agent dead show {letter.id} --body > FILE, then push-agent dead edit {letter.id} --body FILE"
    )
    if len(body) > _MOST_EDITED:
        raise AgentError(f"a body of {len(body) // 1_000_000} MB is too long for an editor", hint=hint)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise AgentError(f"the body of dead letter {letter.id} is no text", hint=hint)
    return text


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path} cannot be read: {reason}", hint="give a file that holds the body") from None


def _tidy(path: Path | None) -> None:
    if path is not None:
        shutil.rmtree(path.parent, ignore_errors=True)


def _told(answer: dict[str, Any], output: str, what: str) -> int:
    if output == "json":
        print_json({"id": answer["id"], "key": answer["key"], "outcome": what})
        return 0
    click.echo(good(f"dead letter {answer['id']}: ") + f"{what}; its key is {answer['key']}")
    click.echo(f"  send it with: push-agent dead retry {answer['id']}")
    return 0
