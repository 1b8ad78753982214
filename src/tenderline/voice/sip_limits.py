"""Who may knock how often: new calls of one address, and how long it stays out after it tried too much."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tenderline.core.client_address import Network

SOURCES_MAX = 10_000
OFFENCES_MAX = 10
OFFENCES_WINDOW_S = 60.0
BLOCKED_S = 600.0


Calls = float
"""A count with fractions: a bucket fills bit by bit."""


@dataclass(slots=True)
class _Source:
    calls_left: Calls
    refilled_at: float
    offences: int = 0
    first_offence_at: float = 0.0
    blocked_until: float = 0.0


class SourceLimits:
    """A bucket of calls for each source address, and a memory of wrong passwords and unknown numbers."""

    def __init__(
        self, calls_per_s: float, burst: int, exempt: Sequence[Network], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls_per_s, self._burst, self._exempt, self._clock = calls_per_s, burst, tuple(exempt), clock
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self.refused_calls = 0
        self.blocked_sources = 0

    def may_call(self, address: str) -> bool:
        """Whether one more call may begin now; it is counted."""
        if self._is_exempt(address):
            return True
        source, now = self._of(address), self._clock()
        source.calls_left = min(self._burst, source.calls_left + (now - source.refilled_at) * self._calls_per_s)
        source.refilled_at = now
        if source.calls_left < 1:
            self.refused_calls += 1
            return False
        source.calls_left -= 1
        return True

    def is_blocked(self, address: str) -> bool:
        """Whether nothing of this address is heard now."""
        found = self._sources.get(address)
        return found is not None and found.blocked_until > self._clock()

    def offend(self, address: str) -> bool:
        """A wrong password or a number that is none of ours; True when this one shuts the address out."""
        if self._is_exempt(address):
            return False
        source, now = self._of(address), self._clock()
        if now - source.first_offence_at > OFFENCES_WINDOW_S:
            source.first_offence_at, source.offences = now, 0
        source.offences += 1
        if source.offences < OFFENCES_MAX:
            return False
        source.offences, source.blocked_until = 0, now + BLOCKED_S
        self.blocked_sources += 1
        return True

    def _is_exempt(self, address: str) -> bool:
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self._exempt)

    def _of(self, address: str) -> _Source:
        found = self._sources.get(address)
        if found is None:
            found = self._sources[address] = _Source(float(self._burst), self._clock())
            if len(self._sources) > SOURCES_MAX:
                self._sources.popitem(last=False)
        self._sources.move_to_end(address)
        return found
