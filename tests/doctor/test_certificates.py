"""Certificates as strangers write them."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.doctor.certificates import read_chain


class Modern:
    """As `ssl.SSLObject` is from Python 3.13 on."""

    def __init__(self, *ders):
        self._ders = list(ders)

    def get_unverified_chain(self):
        return self._ders


def der(*attributes):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(begin + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_who_it_is_is_the_common_name_and_the_firm():
    common, firm = (NameOID.COMMON_NAME, "api.example.com"), (NameOID.ORGANIZATION_NAME, "Example Ltd")
    country = (NameOID.COUNTRY_NAME, "NL")
    told = read_chain(Modern(der(common, firm), der(common), der(firm), der(country), der()))
    assert [each.subject for each in told] == [
        "api.example.com (Example Ltd)",
        "api.example.com",
        "Example Ltd",
        "C=NL",
        "(no name)",
    ]
    assert told[0].self_signed
    assert told[0].names == ()
    assert told[0].ends - told[0].begins == 86_400


def test_a_name_that_would_move_the_cursor_is_harmless():
    (told,) = read_chain(Modern(der((NameOID.COMMON_NAME, "a\x1b[2Jb"))))
    assert told.subject == "a?[2Jb"


def test_what_cannot_be_read_is_said():
    (told,) = read_chain(Modern(b"no certificate at all"))
    assert told.subject == "(unreadable)"
