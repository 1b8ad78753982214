"""Switches that make one part of the sandbox misbehave on purpose, as its real counterpart does on a bad day.

Every counter says how many of the next requests misbehave, so a test or a visitor knows exactly when it is over.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

LATENCY_MS_MAX: Final = 60_000
RETRY_AFTER_S_MAX: Final = 3_600
COUNT_MAX: Final = 1_000_000

_LIMITS: Final = {"latency_ms": LATENCY_MS_MAX, "retry_after_s": RETRY_AFTER_S_MAX}


class FaultError(ValueError):
    """A switch was set to something that makes no sense; the text says which one and what it takes."""


@dataclass
class FaultSwitches:
    """How one part misbehaves; all zero is a good day."""

    latency_ms: int = 0
    """Every answer takes this much longer."""
    rate_limit_next: int = 0
    """So many requests are answered "too many requests", and nothing is done."""
    retry_after_s: int = 1
    """What a rate-limited answer tells the client to wait."""
    fail_after_success_next: int = 0
    """So many requests are carried out and then answered with an error."""
    fail_before_next: int = 0
    """So many requests are answered with an error, and nothing is done."""
    drop_after_success_next: int = 0
    """So many requests are carried out and then never answered: the connection is cut."""
    lose_callbacks_next: int = 0
    """So many callbacks are never sent."""
    duplicate_callbacks_next: int = 0
    """So many callbacks are sent twice."""

    def take(self, name: str) -> bool:
        """Uses up one of a counter; False when it is already at zero."""
        if not name.endswith("_next") or name not in _NAMES:
            raise FaultError(f"{name!r} is not a counter; the counters are {', '.join(counters())}.")
        left: int = getattr(self, name)
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        return True

    def to_dict(self) -> dict[str, int]:
        """All switches by name, for JSON and for forms."""
        return asdict(self)

    def update(self, values: Mapping[str, object]) -> None:
        """Sets the switches named and leaves the others; sets none when one of them is wrong (`FaultError`)."""
        checked = {name: _checked(name, value) for name, value in values.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Back to a good day."""
        self.update(FaultSwitches().to_dict())


_NAMES: Final = tuple(field.name for field in fields(FaultSwitches))


def counters() -> tuple[str, ...]:
    """The names that `take` knows."""
    return tuple(name for name in _NAMES if name.endswith("_next"))


def _checked(name: object, value: object) -> int:
    if not isinstance(name, str) or name not in _NAMES:
        near = difflib.get_close_matches(str(name), _NAMES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" The switches are {', '.join(_NAMES)}."
        raise FaultError(f"There is no switch {name!r}.{hint}")
    most = _LIMITS.get(name, COUNT_MAX)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise FaultError(f"{name} takes a whole number from 0 to {most:,}, not {value!r}.")
    return value
