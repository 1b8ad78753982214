"""The two clocks: UTC instants for facts, and a clock that nothing can set back for leases and time-outs."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, as an aware UTC instant. Decisions take the database's clock instead: one clock for all nodes."""
    return datetime.now(UTC)


def steady_s() -> float:
    """Seconds on a clock that also counts while the machine sleeps, so that a lease cannot outlive a nap."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
