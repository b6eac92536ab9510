"""What the doctor found, before anybody says what it means: plain values, one or two for each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agent.message import JsonValue

Mark: TypeAlias = Literal["good", "warning", "failed", "skipped"]
NoAddress: TypeAlias = Literal[
    "no such name", "no address", "no answer", "refused", "timeout", "not a name", "other"
]

# ------------------------------------------------------------------------------ what it means


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a finding means, for people."""

    mark: Mark
    says: str
    """One line."""
    details: tuple[str, ...] = ()
    """More lines: addresses, certificates."""
    hint: str = ""
    """What to do; empty while all is well."""
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    """The same for programs."""
    passable: bool = False
    """It failed, and the steps after it can be taken all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step that was taken, or was not."""

    name: str
    """`config`, `secrets`, `dns`, `tcp`, `proxy`, `tls`, `http`, `sign-in`, `refresh`, `call`."""
    place: str = ""
    """The origin or the endpoint; empty: the connection as a whole."""
    seconds: float = 0.0
    verdict: Verdict

    @property
    def title(self) -> str:
        """`tls https://api.example.com`."""
        return f"{self.name} {self.place}".rstrip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All steps, in order."""

    connection: str
    daemon: bool
    """Whether a daemon runs, so that its session was used."""
    steps: tuple[Step, ...]

    @property
    def healthy(self) -> bool:
        """Whether no step failed; warnings are allowed."""
        return not any(step.verdict.mark == "failed" for step in self.steps)


# ------------------------------------------------------------------------------ the way there


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A name has addresses."""

    addresses: tuple[str, ...]
    literal: bool = False
    """It was an address already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unresolved:
    """A name has none, or nobody said."""

    kind: NoAddress
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One address that was called."""

    address: str
    seconds: float
    fault: str = ""
    """A word of `words.CONNECT`; empty: it answered."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialled:
    """All addresses that were called."""

    tries: tuple[Try, ...]

    @property
    def answered(self) -> Try | None:
        """The quickest that answered."""
        return min((one for one in self.tries if not one.fault), key=lambda one: one.seconds, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tunnelled:
    """What a proxy said to CONNECT."""

    status: int
    """0: nothing that is HTTP."""
    fault: str = ""
    """A word of `words.CONNECT`; empty: it answered."""
    detail: str = ""


# ------------------------------------------------------------------------------ TLS


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What a certificate says. Times are wall clock seconds."""

    subject: str
    issuer: str
    names: tuple[str, ...] = ()
    """What it is good for: DNS names and addresses."""
    begins: float
    ends: float

    @property
    def self_signed(self) -> bool:
        """Whether it vouches for itself."""
        return self.subject == self.issuer


@dataclass(frozen=True, kw_only=True, slots=True)
class Shaken:
    """The handshake succeeded."""

    version: str
    cipher: str
    chain: tuple[Certificate, ...]
    """The server's own first."""
    verified: bool = True
    """False: `tls.verify` is off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unshaken:
    """It did not."""

    fault: str
    """A word of `words.TLS`."""
    detail: str = ""
    chain: tuple[Certificate, ...] = ()
    """What the server showed to somebody who believed nothing and sent nothing of ours."""
    server_time: float | None = None
    """What its `Date` said to the same."""


# ------------------------------------------------------------------------------ HTTP and sign-in


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """An HTTP answer to a request without credentials. Times are wall clock seconds."""

    status: int
    server_time: float | None
    """Its `Date`."""
    our_time: float
    """When it arrived."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unheard:
    """No HTTP answer."""

    fault: str
    """A word of `words.HTTP` or `words.TLS`."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How often a session has signed in: what tells a login from a stored pair."""

    logins: int = 0
    refreshes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """There is a token now."""

    before: Counts
    after: Counts
    generation: int
    expires_at: float | None
    """Wall clock; None: never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoToken:
    """There is none."""

    text: str
    hint: str = ""
    failures: int = 0
    """Logins in a row that were refused."""
    next_try: float | None = None
    """Wall clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Called:
    """A signed request that changes nothing, and its answer; status 0: none."""

    status: int
    reason: str = ""
    """The server's phrase, or why there is no answer."""
    challenge: str = ""
    """Of `WWW-Authenticate`, without what was sent: `insufficient_scope: …` (RFC 6750, section 3)."""
