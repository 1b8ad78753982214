"""The versions of the rules that put donors into segments. None at all: the rules as shipped count."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from tenderline.core.errors import TenderlineError
from tenderline.store import audit
from tenderline.store.db import Connection, query

LISTED_MAX = 50


class SegmentsChangedMeanwhileError(TenderlineError):
    """Somebody put other rules in force since you looked; look at them before you change them."""

    code = "segments.changed_meanwhile"
    status = 409


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """One version, as it was put in."""

    version: int
    content: str
    digest: bytes
    created_at: datetime
    created_by: str


async def newest(connection: Connection) -> RulesVersion | None:
    """The version that counts."""
    row = await connection.fetchrow(query("donors", "newest_rules"))
    return RulesVersion(**row) if row else None


async def versions(connection: Connection) -> list[RulesVersion]:
    """The newest ones first."""
    return [RulesVersion(**row) for row in await connection.fetch(query("donors", "versions"), LISTED_MAX)]


async def put(connection: Connection, content: str, *, by: str, expected: int | None = None) -> int:
    """The number of the version that counts now; a new one unless the text is the same. Audited.

    `expected`: the version that was looked at, 0 for those shipped. Raises `SegmentsChangedMeanwhileError` for another.
    """
    digest = hashlib.sha256(content.encode()).digest()
    await connection.execute(query("donors", "lock_rules"))
    last = await newest(connection)
    if expected is not None and expected != (last.version if last is not None else 0):
        raise SegmentsChangedMeanwhileError()
    if last is not None and last.digest == digest:
        return last.version
    version = int(await connection.fetchval(query("donors", "add_rules"), content, digest, by))
    data = {"version": version, "sha256": digest.hex()}
    await audit.append(connection, actor=by, action="segments_put", subject="segments", data=data)
    return version
