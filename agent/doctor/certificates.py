"""DER → what a certificate says, also where nobody has verified it."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.doctor.findings import Certificate

_MOST_NAMES = 20
_MOST_TEXT = 200
"""Characters of a name that are shown; a stranger chose it."""


def read_chain(handle: object) -> tuple[Certificate, ...]:
    """The server's certificate and those that it sent along. Empty where the library gives none."""
    return tuple(_read(each) for each in _ders(handle))


def _ders(handle: object) -> Iterator[bytes]:
    """As the server sent them. Public from Python 3.13 on; before, one object deeper."""
    inner = handle if hasattr(handle, "get_unverified_chain") else getattr(handle, "_sslobj", None)
    chain = inner.get_unverified_chain() if hasattr(inner, "get_unverified_chain") else None
    if not chain:
        assert isinstance(handle, ssl.SSLObject)
        own = handle.getpeercert(binary_form=True)
        yield from [own] if own else []
        return
    for each in chain:
        if isinstance(each, bytes):
            yield each
        else:
            yield ssl.PEM_cert_to_DER_cert(each.public_bytes())


def _read(der: bytes) -> Certificate:
    try:
        # Oddities that are no errors are warned of, which would end up in the middle of the report.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = x509.load_der_x509_certificate(der)
            return Certificate(
                subject=_name(read.subject),
                issuer=_name(read.issuer),
                names=_names(read),
                begins=read.not_valid_before_utc.timestamp(),
                ends=read.not_valid_after_utc.timestamp(),
            )
    except ValueError:
        return Certificate(subject="(unreadable)", issuer="(unreadable)", begins=0.0, ends=0.0)


def _name(name: x509.Name) -> str:
    """`common name (organization)`; without either, the whole of it."""
    common = [str(each.value) for each in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    firm = [str(each.value) for each in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if not common and not firm:
        return _shown(name.rfc4514_string()) or "(no name)"
    text = ", ".join(common or firm)
    return _shown(f"{text} ({', '.join(firm)})" if common and firm else text)


def _names(read: x509.Certificate) -> tuple[str, ...]:
    try:
        held = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = held.get_values_for_type(x509.DNSName)
    addresses = [str(address) for address in held.get_values_for_type(x509.IPAddress)]
    return tuple(_shown(name) for name in [*names, *addresses][:_MOST_NAMES])


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:_MOST_TEXT])
