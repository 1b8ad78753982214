"""Whether the CRM is asked just now: pure, with the time as a parameter.

A CRM that is away or too slow must not be asked by every call, and a crowd of calls must not bury one that works. So
there is a bound on look-ups under way and on new ones a second; and after failures in a row, or when the slowest of
twenty are over the budget (surge mode), a pause. After it one look-up tries; the others wait for how that ends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

Refusal = Literal["too many at once", "too many a second", "failing", "too slow"]

SAMPLES_MAX: Final = 200
SAMPLES_MIN: Final = 20
"""Fewer say nothing of the slowest five of a hundred."""
WINDOW_S: Final = 60.0
SLOW_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds, as the settings say."""

    at_once_max: int
    per_s: float
    failures_max: int
    pause_s: float
    budget_s: float


class Guard:
    """Of one CRM, in one process. Every `ask` that was let pass is followed by one `done`."""

    __slots__ = (
        "_failures",
        "_filled_at",
        "_limits",
        "_paused_until",
        "_room",
        "_trying",
        "_under_way",
        "_why",
        "times",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._under_way = 0
        self._room = self._burst
        self._filled_at: float | None = None
        self._failures = 0
        self._paused_until: float | None = None
        self._why: Refusal = "failing"
        self._trying = False
        self.times: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)

    @property
    def _burst(self) -> float:
        return max(1.0, self._limits.per_s)

    @property
    def under_way(self) -> int:
        """Look-ups that were let pass and are not done."""
        return self._under_way

    def ask(self, now: float) -> Refusal | None:
        """None lets one look-up pass; else why not."""
        if self._paused_until is not None and (now < self._paused_until or self._trying):
            return self._why
        if self._under_way >= self._limits.at_once_max:
            return "too many at once"
        self._fill(now)
        if self._room < 1.0:
            return "too many a second"
        self._room -= 1.0
        self._under_way += 1
        self._trying = self._paused_until is not None
        return None

    def _fill(self, now: float) -> None:
        since = 0.0 if self._filled_at is None else max(0.0, now - self._filled_at)
        self._room = min(self._burst, self._room + since * self._limits.per_s)
        self._filled_at = now if self._filled_at is None else max(now, self._filled_at)

    def done(self, now: float, *, took_s: float, ok: bool) -> None:
        """A look-up ended: well, however late, or not."""
        assert self._under_way > 0, "what is done was let pass"
        self._under_way -= 1
        was_try = self._trying and self._paused_until is not None and now >= self._paused_until
        self.times.append((now, took_s))
        self._failures = 0 if ok else self._failures + 1
        if was_try:
            self._trying = False
            if ok and took_s <= self._limits.budget_s:
                self._paused_until = None
                self._failures = 0
                self.times.clear()
            else:
                self._pause(now, "too slow" if ok else "failing")
        elif self._paused_until is None:
            if self._failures >= self._limits.failures_max:
                self._pause(now, "failing")
            elif self._is_slow(now):
                self._pause(now, "too slow")

    def _pause(self, now: float, why: Refusal) -> None:
        self._paused_until, self._why, self._trying = now + self._limits.pause_s, why, False

    def _is_slow(self, now: float) -> bool:
        recent = sorted(took_s for at, took_s in self.times if at > now - WINDOW_S)
        if len(recent) < SAMPLES_MIN:
            return False
        return recent[min(len(recent) - 1, int(SLOW_SHARE * len(recent)))] > self._limits.budget_s

    def paused(self, now: float) -> Refusal | None:
        """Why the CRM is left alone now; None when it is asked."""
        return self._why if self._paused_until is not None and now < self._paused_until else None
