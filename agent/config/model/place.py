"""Where something stands in the config, and where a secret is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """A place in a file of the config: every value that can be wrong later remembers its own."""

    file: str
    line: int
    column: int
    path: str
    """In the user's words: `body.map.vehicle.entity`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretRef:
    """`{secret: NAME}`, `{env: NAME}` or `{file: PATH}`: where a secret is, never the secret."""

    kind: Literal["secret", "env", "file"]
    name: str
    where: Where = field(compare=False)
