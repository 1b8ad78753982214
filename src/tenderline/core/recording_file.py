"""How a recording lies on a disk: encrypted chunks of two channels in G.711 mu-law, readable up to the last whole one.

A file begins with `TLR1` and the recording's id. Each chunk is its length (4 bytes), a nonce (12) and AES-256-GCM over
both channels, one after the other, with the id and the number of the chunk bound in: chunks cannot be swapped, left
out in the middle, or moved to another file. After a crash everything but the last seconds is there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenderline.core.errors import TenderlineError

MAGIC = b"TLR1"
KEY_BYTES = 32
NONCE_BYTES = 12
RATE_HZ = 8_000
CHUNK_BYTES_MAX = 1 << 20
ULAW_SILENCE = b"\xff"
_TAG_BYTES = 16

_LENGTH = struct.Struct("!I")
_ULAW_FORMAT = 7


class DamagedRecordingError(TenderlineError):
    """The recording cannot be read: it was changed, cut, or belongs to another key; restore it from a backup."""

    code = "damaged_recording"
    status = 500


def new_key() -> bytes:
    """A key of its own for each recording."""
    return AESGCM.generate_key(bit_length=KEY_BYTES * 8)


def seal_key(key: bytes, master: bytes, recording_id: UUID) -> bytes:
    """The key as the database keeps it."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(master).encrypt(nonce, key, recording_id.bytes)


def open_key(sealed: bytes, master: bytes, recording_id: UUID) -> bytes:
    """The key again; raises `DamagedRecordingError` under another master key."""
    try:
        return AESGCM(master).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], recording_id.bytes)
    except InvalidTag:
        raise DamagedRecordingError() from None


def header(recording_id: UUID) -> bytes:
    """How the file begins."""
    return MAGIC + recording_id.bytes


def chunk(cipher: AESGCM, recording_id: UUID, number: int, caller: bytes, other: bytes) -> bytes:
    """One chunk of both channels; they are as long as each other."""
    assert len(caller) == len(other), "the channels keep step"
    assert 0 < 2 * len(caller) <= CHUNK_BYTES_MAX
    nonce = os.urandom(NONCE_BYTES)
    sealed = cipher.encrypt(nonce, caller + other, recording_id.bytes + _LENGTH.pack(number))
    return _LENGTH.pack(len(sealed)) + nonce + sealed


class Reader:
    """Reads a file piece by piece, so that a long one costs no more memory than a chunk."""

    def __init__(self, key: bytes, recording_id: UUID) -> None:
        self._cipher = AESGCM(key)
        self._id = recording_id
        self._rest = b""
        self._number = 0
        self._began = False

    def feed(self, piece: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The channels of every chunk that is whole by now. What is not whole at the end is left out."""
        data, at = self._rest + piece, 0
        if not self._began:
            at = len(MAGIC) + 16
            if len(data) < at:
                self._rest = data
                return
            if data[:at] != header(self._id):
                raise DamagedRecordingError()
            self._began = True
        while at + _LENGTH.size <= len(data):
            size = _LENGTH.unpack_from(data, at)[0]
            start = at + _LENGTH.size + NONCE_BYTES
            if size > CHUNK_BYTES_MAX + 16:
                raise DamagedRecordingError()
            if start + size > len(data):
                break
            try:
                nonce, sealed = data[start - NONCE_BYTES : start], data[start : start + size]
                plain = self._cipher.decrypt(nonce, sealed, self._id.bytes + _LENGTH.pack(self._number))
            except InvalidTag:
                raise DamagedRecordingError() from None
            half = len(plain) // 2
            yield plain[:half], plain[half:]
            at, self._number = start + size, self._number + 1
        self._rest = data[at:]

    @property
    def has_begun(self) -> bool:
        """Whether it got as far as the first chunk."""
        return self._began


def read(data: bytes, key: bytes, recording_id: UUID) -> Iterator[tuple[bytes, bytes]]:
    """The channels chunk by chunk. A last chunk that is not whole is left out; anything else wrong raises."""
    reader = Reader(key, recording_id)
    yield from reader.feed(data)
    if not reader.has_begun:
        raise DamagedRecordingError()


def duration_ms(data: bytes) -> int:
    """How long the whole chunks of a file last; no key is needed to know."""
    at, samples = len(MAGIC) + 16, 0
    while at + _LENGTH.size <= len(data):
        size = _LENGTH.unpack_from(data, at)[0]
        at += _LENGTH.size + NONCE_BYTES + size
        if at > len(data):
            break
        samples += (size - _TAG_BYTES) // 2
    return samples * 1_000 // RATE_HZ


def wav(channels: Iterator[tuple[bytes, bytes]]) -> bytes:
    """A WAV file in mu-law with two channels: the caller left, everybody else right."""
    data = bytearray()
    for caller, other in channels:
        both = bytearray(2 * len(caller))
        both[0::2], both[1::2] = caller, other
        data += both
    form = struct.pack("<HHIIHHH", _ULAW_FORMAT, 2, RATE_HZ, 2 * RATE_HZ, 2, 8, 0)
    fact = struct.pack("<I", len(data) // 2)
    parts = b"".join(name + struct.pack("<I", len(part)) + part for name, part in ((b"fmt ", form), (b"fact", fact)))
    size = 4 + len(parts) + 8 + len(data)
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + parts + b"data" + struct.pack("<I", len(data)) + bytes(data)
