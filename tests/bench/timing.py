"""Timing small functions: many calls in one go, the cases in turns."""

from __future__ import annotations

import time
from collections.abc import Callable


def in_turns(cases: dict[str, Callable[[int], object]], calls: int, repeats: int) -> dict[str, list[float]]:
    """Microseconds of one call, run by run. Each call is given its number, so that no two need be alike."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            call(0)
            start = time.perf_counter()
            for number in range(calls):
                call(number)
            taken[name].append((time.perf_counter() - start) / calls * 1e6)
    return taken


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Of runs that took turns: each by the one beside it."""
    return [a / b for a, b in zip(above, below, strict=True)]
