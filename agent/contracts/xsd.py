"""XML Schema 1.0, with lxml: the extra `xml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.contracts.errors import ContractError, told
from agent.contracts.files import File

try:
    from lxml import etree
except ImportError as error:
    raise ContractError(
        "schema: an XSD needs an extra of push-agent", "pip install 'push-agent[xml]'"
    ) from error


class XsdChecker:
    """Implements `Checker`. For one thread: it keeps the errors of the last document."""

    def __init__(self, files: tuple[File, ...]) -> None:
        """Raises ContractError where the schema is none."""
        path, text = files[0]
        name = path.rpartition("/")[2]
        parser = _parser()
        parser.resolvers.add(_Loaded(files))
        try:
            self._schema = etree.XMLSchema(etree.fromstring(text, parser, base_url=path))
        except (etree.XMLSchemaParseError, etree.XMLSyntaxError, ContractError) as error:
            raise ContractError(f"{name}: is no XSD: {str(error).splitlines()[0]}") from None
        self._parser = _parser()

    def all_good(self, documents: Sequence[str]) -> bool:
        """See `Checker`."""
        return not any(map(self.reason, documents))

    def reason(self, document: str) -> str:
        """See `Checker`."""
        try:
            root = etree.fromstring(document.encode(), self._parser)
        except etree.XMLSyntaxError as error:
            return f"is no well-formed XML: {error}"
        except UnicodeEncodeError:
            return "holds a lone surrogate, which is no character"
        try:
            if self._schema.validate(root):
                return ""
        except etree.XMLSchemaValidateError as error:  # such as an entity that is not expanded
            return f"cannot be checked: {error}"
        return told([f"{_place(entry.path)}: {entry.message}" for entry in self._schema.error_log])


def _parser() -> etree.XMLParser:
    # one field of our own bodies may be larger than the 10 MB that libxml2 finds suspicious
    return etree.XMLParser(no_network=True, resolve_entities=False, load_dtd=False, huge_tree=True)


def _place(path: str | None) -> str:
    return (path or "").removeprefix("/") or "the document"


class _Loaded(etree.Resolver):  # type: ignore[misc] # untyped here
    """Gives the files that were read when the job was loaded, and nothing else."""

    def __init__(self, files: tuple[File, ...]) -> None:
        self._files = dict(files)

    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # noqa: ANN401 - untyped there
        """See lxml."""
        del public_id
        text = self._files.get(system_url.removeprefix("file://"))
        if text is None:
            raise ContractError(f"names {system_url}, which is no file here")
        return self.resolve_string(text, context, base_url=system_url)
