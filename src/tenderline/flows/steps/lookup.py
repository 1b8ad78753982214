"""Asks who is calling."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Answer, Step, Touch, take_over
from tenderline.flows.variables import Sets


class Lookup(Step, frozen=True):
    """Looks the caller up by number, in our own database and in the CRM. Of what is known, the variables named here
    are taken over; they may be null. There are person_id, name, locale, balance, donor_id, tier, segment,
    lifetime_value, last_gift, last_gift_on, gift_count, gifts_last_year, recurring, urgency_score and preferred_agent.
    """

    variables: Annotated[tuple[Sets, ...], Meta(min_length=1, max_length=20)]
    timeout_s: Answer = 2

    touches: ClassVar[frozenset[Touch]] = frozenset({"database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("found", "unknown", "timed_out")

    def sets_on(self, exit: str) -> frozenset[str]:
        """All of them when somebody was found."""
        return frozenset(map(str, self.variables)) if exit == "found" else frozenset()

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks."""
        try:
            known = await backstage.look_up(call, timeout_s=self.timeout_s)
        except TimeoutError:
            return "timed_out"
        if known is None:
            return "unknown"
        take_over(call, self.variables, known)
        return "found"
