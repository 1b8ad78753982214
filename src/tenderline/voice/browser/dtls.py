"""DTLS-SRTP (RFC 5764): the handshake that gives a browser and us the keys of their audio. No input, no output here.

pyOpenSSL does the handshake in memory, libsrtp the packets. Both come with the extra `browser-audio`; without them the
telephone works as ever, and browsers are told that this node has no audio for them.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tenderline.core.errors import TenderlineError

RECORD_BYTES_MAX: Final = 1_500
FLIGHT_RECORDS_MAX: Final = 16
CERTIFICATE_DAYS: Final = 30


class NoBrowserAudioError(TenderlineError):
    """Audio in browsers needs two libraries more: pip install 'tenderline[browser-audio]', then restart the node."""

    code = "browser_audio_not_installed"
    status = 503


class HandshakeError(TenderlineError):
    """The browser and this node could not agree on keys; the message says why. Reload the page."""

    code = "browser_handshake_failed"


def is_installed() -> bool:
    """Whether the libraries of the extra are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("OpenSSL", "pylibsrtp"))


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate of our own, which the description names by its fingerprint; it lives as long as the process."""

    context: Any
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Profile:
    openssl: bytes
    libsrtp: int
    key_bytes: int
    salt_bytes: int


@cache
def _profiles() -> tuple[_Profile, ...]:
    from pylibsrtp import Policy

    return (
        _Profile(b"SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
        _Profile(b"SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
    )


def identity() -> Identity:
    """A fresh one. Raises `NoBrowserAudioError`."""
    if not is_installed():
        raise NoBrowserAudioError()
    from OpenSSL import SSL

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tenderline")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_TICKET)
    # The fingerprint in the description is what is believed; it is compared when the handshake is done.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_cipher_list(
        b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
    )
    context.set_tlsext_use_srtp(b":".join(one.openssl for one in _profiles()))
    return Identity(context, _fingerprint(certificate))


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


class Secured:
    """Keys of one path. `protect` and `unprotect` are the only things that are done to a packet."""

    def __init__(self, profile: _Profile, material: bytes, *, as_server: bool) -> None:
        from pylibsrtp import Error, Policy, Session

        key, salt = profile.key_bytes, profile.salt_bytes

        def of(side: int) -> bytes:
            at = 2 * key + side * salt
            return material[side * key : (side + 1) * key] + material[at : at + salt]

        theirs, ours = (of(0), of(1)) if as_server else (of(1), of(0))
        self._in = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND, srtp_profile=profile.libsrtp))
        self._out = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile.libsrtp))
        self._error = Error

    def protect(self, packet: bytes) -> bytes:
        """An RTP packet of ours, for the wire."""
        protected: bytes = self._out.protect(packet)
        return protected

    def unprotect(self, data: bytes) -> bytes | None:
        """An RTP packet of theirs; None for one that is forged, repeated or broken."""
        try:
            packet: bytes = self._in.unprotect(data)
        except (self._error, TypeError, ValueError):
            return None
        return packet


class Handshake:
    """One handshake, fed with records and asked for those to send."""

    def __init__(self, ours: Identity, their_fingerprint: str, *, as_server: bool = True) -> None:
        from OpenSSL import SSL

        self._ssl, self._errors = SSL.Connection(ours.context), SSL
        self._theirs, self._as_server = their_fingerprint, as_server
        self.secured: Secured | None = None
        self.is_closed = False
        if as_server:
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()

    def begin(self) -> list[bytes]:
        """The first records of whoever begins."""
        return self._go_on()

    def feed(self, record: bytes) -> list[bytes]:
        """What the other side said; what is to be sent now. Raises `HandshakeError`."""
        self._ssl.bio_write(record)
        if self.secured is None:
            return self._go_on()
        try:
            self._ssl.recv(RECORD_BYTES_MAX)
        except self._errors.ZeroReturnError:
            self.is_closed = True
        except self._errors.Error:
            pass  # a flight that came again, or nothing to read: what is to be said to it is sent
        return self._outgoing()

    def wait_s(self) -> float | None:
        """After so long without an answer, what was sent is to be sent again."""
        if self.secured is not None:
            return None
        wait_s: float | None = self._ssl.DTLSv1_get_timeout()
        return wait_s

    def again(self) -> list[bytes]:
        """The records whose answer did not come."""
        try:
            self._ssl.DTLSv1_handle_timeout()
        except self._errors.Error:
            raise HandshakeError("The browser did not go on with the handshake.") from None
        return self._outgoing()

    def goodbye(self) -> list[bytes]:
        """Says that the path ends."""
        try:
            self._ssl.shutdown()
        except self._errors.Error:
            return []
        return self._outgoing()

    def _go_on(self) -> list[bytes]:
        try:
            self._ssl.do_handshake()
        except self._errors.WantReadError:
            return self._outgoing()
        except self._errors.Error as error:
            raise HandshakeError(f"The handshake with the browser failed: {error}") from None
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        if certificate is None or _fingerprint(certificate) != self._theirs:
            raise HandshakeError("The browser's certificate is not the one that its description names.")
        chosen = self._ssl.get_selected_srtp_profile()
        profile = next((one for one in _profiles() if one.openssl == chosen), None)
        if profile is None:
            raise HandshakeError("The browser takes none of our ways to encrypt audio.")
        length = 2 * (profile.key_bytes + profile.salt_bytes)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", length)
        self.secured = Secured(profile, material, as_server=self._as_server)
        return self._outgoing()

    def _outgoing(self) -> list[bytes]:
        records: list[bytes] = []
        for _ in range(FLIGHT_RECORDS_MAX):
            try:
                records.append(self._ssl.bio_read(RECORD_BYTES_MAX))
            except self._errors.Error:
                break
        return records
