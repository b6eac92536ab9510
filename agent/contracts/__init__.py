"""What a target takes: a JSON Schema or an XSD, compiled. No I/O: files are read by whoever asks.

gather(kind, path, read)     the schema and the local files that it names
compiled(kind, files)        a Checker: document → what is wrong with it
refusal(schema, value)       what a small JSON Schema has against one value

json_schema.py   drafts 4 to 2020-12, with jsonschema-rs; xsd.py: XML Schema 1.0, with lxml
files.py         which files a schema is made of; nothing is ever fetched over the network
"""

from __future__ import annotations

from agent.contracts.checker import Checker, ContractError, Kind, compiled, refusal
from agent.contracts.files import File, gather

__all__ = ["Checker", "ContractError", "File", "Kind", "compiled", "gather", "refusal"]
