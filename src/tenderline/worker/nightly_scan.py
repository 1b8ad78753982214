"""Once a day one worker searches everything for card data, gently."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import structlog

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.scan import run
from tenderline.store import scans

log = structlog.get_logger(__name__)

STARTED_BY = "nightly"
TRIED_AGAIN_AFTER_S = 3_600.0


class NightlyScan:
    """The turn of a worker's loop; most turns find nothing to do."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._scan: run.Scan | None = None
        self._not_before_at = 0.0

    def stop(self) -> None:
        """A search under way ends at its next piece, without a report: the next night, or worker, does it again."""
        if self._scan is not None:
            self._scan.stop()

    async def turn(self) -> int:
        """Searches when the hour has come and no worker did since; never asks for another turn at once."""
        settings = self._services.settings.scan
        if not settings.enabled or time.monotonic() < self._not_before_at:
            return 0
        if not await scans.is_due(self._services.pool, since(settings.hour_utc, utc_now())):
            return 0
        async with scans.nightly_lock(self._services.pool) as has_it:
            # Another worker may have ended its search between our question and the lock.
            if not has_it or not await scans.is_due(self._services.pool, since(settings.hour_utc, utc_now())):
                return 0
            # One that fails at its end must not be begun again at once, all night long.
            self._not_before_at = time.monotonic() + TRIED_AGAIN_AFTER_S
            wanted = run.Wanted(started_by=STARTED_BY, pause_s=settings.pause_ms / 1_000)
            self._scan = run.Scan(self._services, wanted)
            try:
                done = await self._scan.run()
            finally:
                self._scan = None
        log.info("searched for card data", verdict=done.report.verdict, report=str(done.file))
        return 0


def since(hour_utc: int, now: datetime) -> datetime:
    """The last time that the hour struck."""
    struck = now.replace(hour=hour_utc, minute=0, second=0, microsecond=0)
    return struck if struck <= now else struck - timedelta(days=1)
