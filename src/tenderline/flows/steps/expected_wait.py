"""Asks how long the wait for an agent would be, so that the flow can say it before the caller is in line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from tenderline.core.queue_rings import Name
from tenderline.flows.call import Backstage, Call, Value
from tenderline.flows.step import Answer, Step, Touch
from tenderline.flows.variables import Sets

MINUTES_MIN: Final = 2
MINUTES_MAX: Final = 120
"""What is shorter or longer is told as these; so no text has to speak of one minute."""


class ExpectedWait(Step, frozen=True):
    """How long somebody who came into a queue now would wait: who is before her, the agents there, and how long their
    last calls took. `waits` sets the variable to whole minutes, 2 to 120; `free` when an agent is; `unknown` when
    nobody serves the queue, or nobody could tell in time. It holds no place."""

    queue: Name
    variable: Sets
    timeout_s: Answer = 1

    touches: ClassVar[frozenset[Touch]] = frozenset({"database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("waits", "free", "unknown")

    def sets_on(self, exit: str) -> frozenset[str]:
        """The minutes, when she would wait."""
        return frozenset({str(self.variable)}) if exit == "waits" else frozenset()

    def samples(self) -> Mapping[str, Value]:
        """Minutes."""
        return {str(self.variable): 3}

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks."""
        try:
            wait_s = await backstage.expected_wait_s(self.queue, timeout_s=self.timeout_s)
        except TimeoutError:
            return "unknown"
        if wait_s is None:
            return "unknown"
        if wait_s <= 0:
            return "free"
        call.variables[str(self.variable)] = max(MINUTES_MIN, min(MINUTES_MAX, math.ceil(wait_s / 60)))
        return "waits"
