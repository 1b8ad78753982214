"""Who did what, in a chain that shows when it was tampered with.

Each row's hash covers the hash of the row before it, so an edit, a swap or a hole breaks every row after it. A chain
alone cannot show that its end was cut off: the head is signed at intervals and kept elsewhere (`AuditHead`).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tenderline.store.db import Connection, Pool, query

VERIFY_PAGE = 1000
GENESIS = bytes(32)


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the chain at an instant, signed: kept where whoever can write the database cannot write."""

    number: int
    hash: str
    at: datetime
    signature: str

    def signed_bytes(self) -> bytes:
        """What the signature covers."""
        return f"{self.number}:{self.hash}:{self.at.isoformat()}".encode()


def row_hash(
    previous: bytes, number: int, at: datetime, actor: str, action: str, subject: str, data: dict[str, Any]
) -> bytes:
    """SHA-256 over the previous hash and this row in one canonical form (sorted keys, UTC, microseconds)."""
    canonical = msgspec.json.encode(
        [number, at.astimezone(UTC).isoformat(timespec="microseconds"), actor, action, subject, data], order="sorted"
    )
    return hashlib.sha256(previous + canonical).digest()


async def append(connection: Connection, *, actor: str, action: str, subject: str, data: dict[str, Any]) -> int:
    """One row at the end of the chain, in the caller's transaction; returns its number. Call it last in it: the head
    is locked until the transaction ends."""
    head = await connection.fetchrow(query("audit", "lock_head"))
    assert head is not None
    number, at = head["number"] + 1, head["at"]
    encoded = msgspec.json.encode(data, order="sorted")
    digest = row_hash(head["hash"], number, at, actor, action, subject, msgspec.json.decode(encoded))
    await connection.execute(query("audit", "append"), number, at, actor, action, subject, encoded.decode(), digest)
    return int(number)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. `bad_number` is the first row that is wrong or missing; None when all is well."""

    rows: int
    bad_number: int | None
    why: str


async def verify(pool: Pool, heads: list[AuditHead], public_key: Ed25519PublicKey | None) -> Verdict:
    """Walks the whole chain in pages, then holds it against the signed heads, newest last."""
    previous, number = GENESIS, 0
    hashes = {head.number: head for head in heads}
    async for row in _rows(pool):
        number += 1
        if row["number"] != number:
            return Verdict(number - 1, number, f"row {number} is missing")
        data = msgspec.json.decode(row["data"])
        expected = row_hash(previous, number, row["at"], row["actor"], row["action"], row["subject"], data)
        if expected != row["hash"]:
            return Verdict(number - 1, number, f"row {number} was changed: its hash does not match its content")
        if (head := hashes.get(number)) and head.hash != row["hash"].hex():
            return Verdict(number - 1, number, f"row {number} is not the row that was signed on {head.at:%Y-%m-%d}")
        previous = row["hash"]
    for head in heads:
        if public_key is None or not _signature_ok(head, public_key):
            return Verdict(number, head.number, f"the signed head of row {head.number} has a wrong signature")
        if head.number > number:
            return Verdict(number, number + 1, f"the chain ends at row {number}, but row {head.number} was signed")
    current = await pool.fetchrow(query("audit", "head"))
    if current is None or (current["number"], current["hash"]) != (number, previous):
        return Verdict(number, number + 1, f"the chain ends at row {number}, but its head says otherwise")
    return Verdict(number, None, "the chain is whole")


async def _rows(pool: Pool) -> AsyncIterator[Any]:
    last = 0
    while rows := await pool.fetch(query("audit", "page"), last, VERIFY_PAGE):
        for row in rows:
            yield row
        last = rows[-1]["number"]


def _signature_ok(head: AuditHead, public_key: Ed25519PublicKey) -> bool:
    try:
        public_key.verify(bytes.fromhex(head.signature), head.signed_bytes())
    except (InvalidSignature, ValueError):
        return False
    return True


def load_public_key(path: Path) -> Ed25519PublicKey | None:
    """The public half of the key that signs heads; None when there is no key, as before the first head."""
    return load_or_make_key(path).public_key() if path.exists() else None


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs heads: made once, readable by its owner only, never in the database."""
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey)
        return key
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(pem)
    return key


async def sign_head(pool: Pool, key: Ed25519PrivateKey, path: Path) -> AuditHead | None:
    """Appends the signed head of the chain to `path`; None when the chain is empty or nothing came since."""
    row = await pool.fetchrow(query("audit", "head"))
    if row is None or row["number"] == 0:
        return None
    known = read_heads(path)
    if known and known[-1].number == row["number"]:
        return None
    unsigned = AuditHead(number=row["number"], hash=row["hash"].hex(), at=datetime.now(UTC), signature="")
    head = msgspec.structs.replace(unsigned, signature=key.sign(unsigned.signed_bytes()).hex())
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(head) + b"\n")
    return head


def read_heads(path: Path) -> list[AuditHead]:
    """The signed heads of a file, oldest first."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=AuditHead) for line in path.read_bytes().splitlines() if line]
