"""A token request, before it is bytes: whom to ask, which fields, and which of them nobody may see. Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote_plus, urlencode

from agent.config.model import AnswerNames


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One POST to an Auth API."""

    url: str
    fields: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    hidden: frozenset[str] = field(default=frozenset(), repr=False)
    """What an answer may repeat and nobody may see."""
    send: Literal["form", "json"] = "form"
    answer: AnswerNames = field(default_factory=AnswerNames)
    bearer: bool = True
    """Whether the token must be a bearer token; not where the config says how to send it."""

    @property
    def content_type(self) -> str:
        """How the fields are written."""
        return "application/json" if self.send == "json" else "application/x-www-form-urlencoded"

    @property
    def body(self) -> bytes:
        """The fields as bytes."""
        return (json.dumps(dict(self.fields)) if self.send == "json" else urlencode(self.fields)).encode()

    def plus(self, name: str, secret: str) -> Call:
        """With one more field, which nobody may see."""
        return replace(self, fields={**self.fields, name: secret}, hidden=self.hidden | {secret})


def client_header(identity: str, secret: str) -> Mapping[str, str]:
    """RFC 6749, section 2.3.1: both are form-urlencoded *before* they are joined, unlike RFC 7617."""
    return {"Authorization": f"Basic {client_pair(identity, secret)}"}


def client_pair(identity: str, secret: str) -> str:
    """What stands behind `Basic`."""
    return b64encode(f"{quote_plus(identity)}:{quote_plus(secret)}".encode()).decode()
