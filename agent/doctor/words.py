"""The tables: what goes wrong on the way to a platform → what is wrong, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from agent.doctor.findings import Mark


class Words(NamedTuple):
    """What is wrong, then what to do."""

    says: str
    hint: str


DNS: Final[Mapping[str, Words]] = {
    "no such name": Words(
        "there is no such name",
        "compare the host with the platform's documentation: it may be a typing error",
    ),
    "no address": Words("the name exists, but has no address", "ask who runs this name"),
    "no answer": Words(
        "no name server answered, or it could not find out (SERVFAIL)",
        "look at this machine's name servers (/etc/resolv.conf, resolvectl status); the name may be right",
    ),
    "refused": Words(
        "the name server refused to answer", "look at this machine's name servers (/etc/resolv.conf)"
    ),
    "timeout": Words(
        "no answer in time",
        "look at this machine's name servers (/etc/resolv.conf, resolvectl status) and at the firewall "
        "for port 53",
    ),
    "not a name": Words("this cannot be the name of a host", "correct the URL"),
    "other": Words("the name cannot be resolved", "look at this machine's name servers (/etc/resolv.conf)"),
}

CONNECT: Final[Mapping[str, Words]] = {
    "refused": Words(
        "refused: nobody listens there", "check host and port of the URL; the platform may be down"
    ),
    "timeout": Words(
        "no answer", "a firewall drops it: ask for outgoing connections to this address and port"
    ),
    "denied": Words(
        "this machine does not allow it",
        "look at IPAddressDeny=/RestrictAddressFamilies= of the service and at the machine's own firewall",
    ),
    "no route": Words(
        "no route to this address",
        "look at this machine's network: ip route get ADDRESS; a gateway or VPN is down",
    ),
    "no family": Words(
        "this machine has no network of this kind",
        "harmless for IPv6 while an IPv4 address answers; else look at this machine's network",
    ),
    "reset": Words("the connection was reset at once", "a firewall or a load balancer refuses it: ask there"),
    "other": Words("no connection", "look at this machine's network"),
}

TLS: Final[Mapping[str, Words]] = {
    "expired": Words(
        "the server's certificate has expired",
        "the platform must renew it; nothing is sent until then (do not turn verification off)",
    ),
    "not yet valid": Words(
        "the server's certificate is not valid yet",
        "the platform must put it right; nothing is sent until then (do not turn verification off)",
    ),
    "self-signed": Words(
        "the server's certificate is self-signed: nobody vouches for it",
        "if it is the right server, put its certificate into a file and name that in `tls.ca`",
    ),
    "self-signed authority": Words(
        "the server's certificate comes from an authority that is not known here",
        "if it is the platform's or your company's own, put the authority's certificate into a file and "
        "name that in `tls.ca`",
    ),
    "unknown issuer": Words(
        "whoever signed the server's certificate is not known here",
        "name the authority's certificate in `tls.ca`, or have the platform send its whole chain; "
        "a proxy of your company that looks into TLS gives this, too",
    ),
    "wrong name": Words(
        "the server's certificate belongs to another name",
        "compare the host of the URL with these names; the request may have met another server",
    ),
    "revoked": Words("the server's certificate was revoked", "the platform must replace it"),
    "weak": Words(
        "the server's certificate or signature is too weak", "the platform must replace its certificate"
    ),
    "not accepted": Words("the server's certificate is not accepted", "ask the platform"),
    "too old": Words(
        "server and agent have no version of TLS in common",
        "the server must speak TLS 1.2 or newer (or what `tls.minimum` says); older ones are not safe",
    ),
    "no cipher": Words(
        "server and agent have no cipher in common, or the server wants a certificate of ours",
        "if the platform uses client certificates, name yours in `tls.certificate` and `tls.key`; else "
        "the server must offer modern ciphers",
    ),
    "certificate wanted": Words(
        "the server wants a certificate of ours",
        "name the one that the platform gave you in `tls.certificate` and `tls.key`",
    ),
    "certificate refused": Words(
        "the server does not accept our certificate",
        "check `tls.certificate`: is it expired, another environment's, or not known to the platform?",
    ),
    "unknown name": Words(
        "the server knows no site of this name",
        "compare the host of the URL with the platform's documentation",
    ),
    "no tls": Words(
        "this port does not speak TLS",
        "check the port, or whether something between (a proxy, a portal) answered instead",
    ),
    "closed": Words(
        "the connection was closed in the middle of the handshake",
        "a firewall that looks into TLS does this, or a server that does not know the name of the URL",
    ),
    "timeout": Words(
        "no TLS answer in time",
        "something accepts connections and says nothing: a firewall, or a server that hangs",
    ),
    "files": Words("a file of `tls:` cannot be used", "correct the connection's `tls:`"),
    "other": Words("no secure connection", "show these lines to the platform's support"),
}

HTTP: Final[Mapping[str, Words]] = {
    "timeout": Words(
        "no answer in time",
        "some servers do not answer HEAD /: harmless where the steps below succeed; else ask the platform",
    ),
    "closed": Words(
        "the connection was closed without an answer",
        "some servers do not answer HEAD /: harmless where the steps below succeed; else the server, or "
        "something before it, refuses us: ask the platform",
    ),
    "not http": Words("what answers is not HTTP", "check host and port of the URL"),
    "other": Words("no answer", "show these lines to the platform's support"),
}

CALL: Final[Mapping[int, Words]] = {
    401: Words(
        "the token is refused",
        "try `--refresh`; if a new token is refused, too, user and endpoint may be of different environments",
    ),
    403: Words(
        "the token is taken, and this user has no permission here",
        "have the platform give this user the permission",
    ),
    404: Words(
        "reached, and there is nothing at this path for HEAD",
        "if deliveries get 404 as well, the path is wrong",
    ),
    405: Words("reached; it takes no HEAD, which is usual where data is sent to", ""),
    407: Words("a proxy wants credentials", "give them in the connection's `proxy:`"),
    408: Words("the server did not wait for the request", "try again"),
    429: Words("the token was not refused; too many requests at the moment", "try again later"),
    501: Words("reached; it knows no HEAD", ""),
}

CALL_CLASSES: Final[Mapping[int, Words]] = {
    1: Words("an odd answer", "show it to the platform's support"),
    2: Words("reached, and the token is taken", ""),
    3: Words(
        "a redirect, which is never followed",
        "write the URL that it leads to into the connection, if it is right",
    ),
    4: Words("reached; the server wants something else than HEAD", ""),
    5: Words("the server has a fault", "ask the platform; deliveries wait and try again by themselves"),
}

CALL_UNSIGNED: Final[Mapping[int, Words]] = {
    200: Words("reached", ""),
    204: Words("reached", ""),
    401: Words("the target wants a sign-in", "say in the connection's `auth:` how to sign in"),
    403: Words("not allowed", "the target may want a sign-in: see the connection's `auth:`"),
    429: Words("reached; too many requests at the moment", "try again later"),
}
"""For `auth: {type: none}`, where there is no token to speak of."""

CALL_MARKS: Final[Mapping[int, Mark]] = {
    **dict.fromkeys((401, 403, 407), "failed"),
    **dict.fromkeys((404, 408, 429), "warning"),
    501: "good",
}
CALL_CLASS_MARKS: Final[Mapping[int, Mark]] = {1: "warning", 2: "good", 3: "warning", 4: "good", 5: "failed"}
