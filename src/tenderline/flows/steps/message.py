"""Sends the caller a message."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Names, Step, Touch
from tenderline.flows.variables import Reads, of


class Message(Step, frozen=True):
    """Plans a message to the caller; the gate decides about it like about every other."""

    template: Names
    values: Annotated[tuple[Reads, ...], Meta(max_length=20, description="Variables that the template may use.")] = ()

    touches: ClassVar[frozenset[Touch]] = frozenset({"database", "network"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("planned", "refused")

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Plans it."""
        known = of(call)
        values = {str(name): known.get(name) for name in self.values}
        planned = await backstage.message(call, template=self.template, values=values)
        return "planned" if planned else "refused"
