"""A report is signed with the key that signs the audit log's heads, and kept as a file that can be held against it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tenderline.core.errors import InvalidInputError
from tenderline.scan.result import FORMAT, Report

FOLDER: Final = "scans"
BYTES_MAX: Final = 16 << 20
_PURPOSE: Final = b"tenderline scan report 1\n"


def public_text(key: Ed25519PublicKey) -> str:
    """The public key as hexadecimal digits."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()


def sign(report: Report, key: Ed25519PrivateKey) -> bytes:
    """The signed report as it is kept: JSON."""
    unsigned = msgspec.structs.replace(report, public_key=public_text(key.public_key()), signature="")
    signed = msgspec.structs.replace(unsigned, signature=key.sign(_covered(unsigned)).hex())
    return msgspec.json.format(msgspec.json.encode(signed, order="sorted"), indent=1) + b"\n"


def _covered(unsigned: Report) -> bytes:
    return _PURPOSE + msgspec.json.encode(unsigned, order="sorted")


def read(data: bytes) -> Report:
    """A report; raises `InvalidInputError` for anything else."""
    try:
        report = msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidInputError("This is no report of a scan.") from None
    if report.format != FORMAT:
        raise InvalidInputError(f"This report has the format {report.format!r}; this version reads {FORMAT}.")
    return report


def why_not_genuine(data: bytes, key: Ed25519PublicKey | None) -> str | None:
    """None for a report that was signed with this key and not changed; else what is wrong with it.

    The bytes themselves are compared, so that a name that we do not know cannot be slipped in.
    """
    report = read(data)
    if key is None:
        return "there is no key here to hold it against"
    if report.public_key != public_text(key):
        return "it was signed with another key"
    unsigned = msgspec.structs.replace(report, signature="")
    try:
        key.verify(bytes.fromhex(report.signature), _covered(unsigned))
    except (InvalidSignature, ValueError):
        return "it was changed after it was signed"
    if msgspec.json.format(msgspec.json.encode(report, order="sorted"), indent=1) != data.rstrip(b"\n"):
        return "something was added after it was signed"
    return None


def write(data_dir: Path, report: Report, data: bytes) -> Path:
    """Keeps it in the data folder, for its owner only; whole or not at all."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{report.started_at:%Y%m%dT%H%M%SZ}-{report.id[-8:]}.json"
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    return path


def digest(data: bytes) -> str:
    """What the audit log keeps of it."""
    return hashlib.sha256(data).hexdigest()
