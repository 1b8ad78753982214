"""Tells a supervisor that the caller is in distress: behind a key, or where a flow finds it out."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Step, Touch


class Alert(Step, frozen=True):
    """Tells the supervisors that the caller is in distress. From then on no payment is taken on this call and nothing
    automatic contacts her until a supervisor lifts it; `distress` is true. `failed`: nobody could be told."""

    reason: Annotated[str, Meta(min_length=1, max_length=200, description="What a supervisor reads.")] = (
        "the caller pressed the key for help"
    )

    touches: ClassVar[frozenset[Touch]] = frozenset({"database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("told", "failed")

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Tells them; the call goes on where the flow says, best in the queue of the supervisors."""
        call.variables["distress"] = True
        return "told" if await backstage.alert(call, reason=self.reason) else "failed"
