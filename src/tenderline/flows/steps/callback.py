"""Notes that the caller wants to be called."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.core.phone import InvalidPhoneError, normalise
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Step, Touch
from tenderline.flows.variables import Reads


class Callback(Step, frozen=True):
    """Notes a callback to the caller's number, or to one that was collected. `refused`: there is no usable number."""

    number: Reads | None = None
    after_s: Annotated[
        int, Meta(ge=0, le=604_800, description="Not before so long from now; 0: as soon as may be.")
    ] = 0
    region: Annotated[
        str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166; of a collected number without a country code.")
    ] = "US"

    touches: ClassVar[frozenset[Touch]] = frozenset({"database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("noted", "refused")

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Notes it."""
        number = None
        if self.number is not None:
            try:
                number = normalise(str(call.variables.get(self.number) or ""), self.region)
            except InvalidPhoneError:
                return "refused"
        elif call.caller is None:
            return "refused"
        due_at = backstage.now() + timedelta(seconds=self.after_s) if self.after_s else None
        return "noted" if await backstage.call_back(call, number=number, due_at=due_at) else "refused"
