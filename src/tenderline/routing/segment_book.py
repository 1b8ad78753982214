"""The rules of segments that count now, read again every few seconds; what cannot be read or used changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from tenderline.core.errors import InvalidInputError
from tenderline.routing import segments
from tenderline.routing.segments import Segments
from tenderline.store import segment_rules
from tenderline.store.db import Connection

log: structlog.stdlib.BoundLogger = structlog.get_logger()

READ_AGAIN_S: Final = 2.0


class SegmentBook:
    """Of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at: float | None = None
        self.now: Segments = segments.shipped()

    async def read(self, connection: Connection) -> Segments:
        """The rules that count, at most `READ_AGAIN_S` old."""
        now = self._clock()
        if self._read_at is None or now - self._read_at >= READ_AGAIN_S:
            self.now = await current(connection, self.now)
            self._read_at = now
        return self.now


async def current(connection: Connection, before: Segments | None = None) -> Segments:
    """The newest version, or those shipped; `before` when a newer version of Tenderline wrote what this cannot read."""
    found = await segment_rules.newest(connection)
    if found is None:
        return segments.shipped()
    if before is not None and before.version == found.version:
        return before
    try:
        return segments.parse(found.content, version=found.version)
    except InvalidInputError as error:
        log.error("segments_not_usable", version=found.version, why=error.detail)
        return before or segments.shipped()
