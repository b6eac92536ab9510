"""Certificates for one test: an authority of its own, and servers it vouches for."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Writes `NAME.pem` (certificate) and `NAME.key` into a folder."""

    def __init__(self, folder, name="ca"):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._build(self._name, self._key, days=10).add_extension(basic, critical=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def issue(self, name, *, address="127.0.0.1", days=5, hosts=()):
        """Paths of certificate and key; negative `days`: expired. `hosts`: names instead of the address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        named = [x509.DNSName(host) for host in hosts] or [x509.IPAddress(ipaddress.ip_address(address))]
        names = x509.SubjectAlternativeName(named)
        certificate = self._build(subject, key, days=days).add_extension(names, critical=False)
        paths = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        paths[0].write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))
        paths[1].write_bytes(_key_pem(key))
        return paths

    def server(self, name, **more):
        """An SSL context for a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, **more))
        return context

    def itself(self):
        """An SSL context for a server whose certificate nobody vouches for."""
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._build(self._name, self._key, days=5).add_extension(names, critical=False)
        paths = self._folder / "itself.pem", self._folder / "itself.key"
        paths[0].write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))
        paths[1].write_bytes(_key_pem(self._key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*paths)
        return context

    def _build(self, subject, key, *, days):
        end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - dt.timedelta(days=90))
            .not_valid_after(end)
        )


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def old(context, version):
    """The server speaks this version of TLS and no newer one; 1.0 and 1.1 are only for servers that must fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is what the test is about
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def secret_bytes(raw):
    """How many bytes of TLS application data lie in what a client sent (RFC 8446, section 5.1).

    In TLS 1.3 an encrypted alert looks the same from outside; it has 19 bytes and no room for a secret.
    """
    count, at = 0, 0
    while at + 5 <= len(raw):
        length = int.from_bytes(raw[at + 3 : at + 5])
        count += length if raw[at] == 23 and length != 19 else 0
        at += 5 + length
    return count


class WantsCertificate:
    """A server that refuses whoever shows no certificate of its authority, with the alert that tells why.

    asyncio's server cuts the connection before its alert has left; this one is a thread.
    """

    def __init__(self, authority, version):
        self._context = authority.server("wants")
        self._context.maximum_version = version
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(authority.path)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self):
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            guarded = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            with contextlib.suppress(OSError):
                guarded.do_handshake()
            # To the end: what was left unread would turn the alert into a reset.
            with socket.socket(fileno=guarded.detach()) as rest, contextlib.suppress(OSError):
                rest.shutdown(socket.SHUT_WR)
                while rest.recv(65_536):
                    pass


BAD_SERVERS = {
    "expired": lambda good, folder: (good.server("bad", days=-1), "certificate has expired"),
    "self-signed": lambda good, folder: (Authority(folder, "self").itself(), "self-signed certificate"),
    "unknown authority": lambda good, folder: (
        Authority(folder, "other").server("bad"),
        "unable to get local issuer certificate",
    ),
    "wrong name": lambda good, folder: (good.server("bad", address="127.0.0.2"), "IP address mismatch"),
    # asyncio's server cuts the connection before its alert has left
    "TLS 1.0": lambda good, folder: (old(good.server("bad"), ssl.TLSVersion.TLSv1), "reset"),
    "TLS 1.1": lambda good, folder: (old(good.server("bad"), ssl.TLSVersion.TLSv1_1), "reset"),
}
"""Servers that must not be talked to: (the authority that is believed, a folder) → (TLS of the server, why)."""
