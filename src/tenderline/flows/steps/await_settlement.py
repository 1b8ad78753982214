"""Waits for the gateway's word that the money has arrived."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.core.clock import steady_s
from tenderline.flows.call import Backstage, Call
from tenderline.flows.phrase import Text
from tenderline.flows.step import Step, Touch, spoken
from tenderline.flows.variables import Reads

_EXITS = {"COMPLETED": "completed", "FAILED": "failed", "PENDING": "pending"}


class AwaitSettlement(Step, frozen=True):
    """Waits until the gateway's own webhook has said what became of the money. Success may be spoken after `completed`
    and nowhere else; `pending`: it may still arrive, and a receipt follows when it does."""

    payment: Reads = Reads("payment")
    comfort: Text | None = None
    comfort_every_s: Annotated[float, Meta(ge=2, le=60, description="The pause between two times of it.")] = 8
    wait_max_s: Annotated[float, Meta(ge=1, le=120, description="How long it is waited for.")] = 30

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("completed", "pending", "failed")

    def waits_on(self, exit: str) -> bool:
        """It waits for somebody else."""
        return True

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Waits, and says so now and then."""
        payment, left_s = str(call.variables.get(str(self.payment)) or ""), self.wait_max_s
        while left_s > 0:
            turn_s, begun_s = min(left_s, self.comfort_every_s), steady_s()
            found = await backstage.settlement(payment, timeout_s=turn_s)
            if found != "PENDING":
                return _EXITS[found]
            left_s -= max(turn_s, steady_s() - begun_s)  # a slow database takes longer
            if self.comfort is not None and left_s > 0:
                await call.say(spoken(self.comfort, call), cut_by_key=True)
        return "pending"
