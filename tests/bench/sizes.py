"""How much each benchmark does: enough to mean something, or just enough to see that everything still runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bounds in count and time."""

    repeats: int
    inbox_shapes: int
    """How many sizes of webhooks."""
    inbox_run_s: float
    inbox_warm_s: float
    gate_rows: int
    gate_batches: int
    gate_processes: tuple[int, ...]
    spike_payers: int
    spike_bound_s: float
    calls: int
    """Calls in one timing of a small function."""
    telephone_calls: int
    """Telephone calls at once."""
    bridged_pairs: int
    """Callers who talk to an agent at once."""
    bridged_s: float
    browser_pairs: int
    """Telephone pairs beside the browsers."""
    browsers: int
    slow_rounds: int
    slow_calls: int
    """Calls in one round of slow look-ups: no more than the node's pool has connections."""
    slow_s: float
    """How long every look-up takes."""
    captures: int
    """Cards that are keyed in at once."""
    confirmed: int
    desks: int
    """Agents' desks that are open at once."""
    desk_events: int
    starts: int
    """Starts of the command line in one repeat."""
    agents: int
    callers_in_line: int
    matches: int
    """Agents who become free one after the other."""

    @property
    def is_full(self) -> bool:
        """Whether the figures are good enough to be written down."""
        return self == FULL


FULL = Sizes(
    repeats=3,
    inbox_shapes=2,
    inbox_run_s=5.0,
    inbox_warm_s=2.0,
    gate_rows=500_000,
    gate_batches=40,
    gate_processes=(1, 2),
    spike_payers=10_000,
    spike_bound_s=240.0,
    calls=20_000,
    telephone_calls=200,
    bridged_pairs=100,
    bridged_s=25.0,
    browser_pairs=40,
    browsers=10,
    slow_rounds=2,
    slow_calls=20,
    slow_s=5.0,
    captures=100,
    confirmed=40,
    desks=100,
    desk_events=300,
    starts=5,
    agents=1_000,
    callers_in_line=500,
    matches=300,
)
QUICK = Sizes(
    repeats=1,
    inbox_shapes=1,
    inbox_run_s=0.3,
    inbox_warm_s=0.1,
    gate_rows=3_500,
    gate_batches=1,
    gate_processes=(2,),
    spike_payers=50,
    spike_bound_s=30.0,
    calls=200,
    telephone_calls=5,
    bridged_pairs=3,
    bridged_s=1.0,
    browser_pairs=2,
    browsers=2,
    slow_rounds=1,
    slow_calls=3,
    slow_s=0.5,
    captures=3,
    confirmed=2,
    desks=3,
    desk_events=5,
    starts=1,
    agents=20,
    callers_in_line=30,
    matches=10,
)
