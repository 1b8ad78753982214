"""Walking a call through its flow, and writing down the path it took. A defect never leaves a caller in silence."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Literal, Protocol

import structlog

from tenderline.flows.call import Backstage, Call, CallEndedError
from tenderline.flows.check import steps_of
from tenderline.flows.graph import Flow
from tenderline.flows.phrase import nearest
from tenderline.flows.step import RETURNED, Step

log = structlog.get_logger(__name__)

STEPS_MAX = 500
"""A flow that was checked asks or waits in every circle; this bounds what a caller can make of it nevertheless."""

CALLER_HUNG_UP = "caller_hung_up"
FAILED = "failed"
CANCELLED = "cancelled"
TOO_LONG = "steps_max"

End = Literal["hung_up", "transferred", "returned", "caller_hung_up", "failed", "steps_max"]


class Path(Protocol):
    """Whoever keeps the way a call took. It only notes; writing it down happens elsewhere, for a call never waits."""

    def entered(self, node: str, step: str, at: datetime) -> None:
        """A step begins."""
        ...

    def left(self, node: str, exit: str, at: datetime) -> None:
        """A step is over, by one of its exits, or because the caller hung up, it failed, or was cancelled."""
        ...


async def run(
    flow: Flow,
    call: Call,
    backstage: Backstage,
    path: Path,
    *,
    steps_max: int = STEPS_MAX,
    steps: Mapping[str, Step] | None = None,
) -> str:
    """Walks the flow to its end, and says which it was: an end of a step (`hung_up`, `transferred`,
    `returned`), `caller_hung_up`, `failed`, or `steps_max`. A flow that returns hangs up in no case: somebody waits.

    Raises `InvalidFlowError` for a flow with a fault, before the call is taken; `steps` of one that was prepared
    otherwise are taken as they are. A cancellation passes through at once; whoever cancels ends the call.
    """
    walk = _Walk(flow, steps if steps is not None else steps_of(flow), call, backstage, path)
    try:
        await call.answer()
        return await walk.to_the_end(steps_max)
    except CallEndedError:
        return CALLER_HUNG_UP


class _Walk:
    """One call on its way."""

    def __init__(self, flow: Flow, steps: Mapping[str, Step], call: Call, backstage: Backstage, path: Path) -> None:
        self.flow = flow
        self.steps = steps
        self.call = call
        self.backstage = backstage
        self.path = path
        self.failed = False
        call.speak_language(nearest(call.language, flow.languages))
        for name, value in flow.given.items():
            chosen = value if isinstance(value, str | int) else value[nearest(call.language, tuple(value))]
            call.variables.setdefault(name, chosen)

    async def to_the_end(self, steps_max: int) -> str:
        at = self.flow.start
        for _ in range(steps_max):
            exit = await self.take(at)
            if exit is None:
                if self.failed or self.flow.on_error is None:
                    return await self.give_up(FAILED)
                self.failed = True
                at = self.flow.on_error
            elif exit in self.steps[at].ends:
                return exit
            else:
                at = self.flow.nodes[at].exits[exit]
        log.warning("flow.too_long", flow=self.flow.name, version=self.flow.version, node=at, steps_max=steps_max)
        return await self.give_up(TOO_LONG)

    async def take(self, at: str) -> str | None:
        """One step; None when it failed. Whatever happens, the path has a word for how it was left."""
        self.path.entered(at, self.flow.nodes[at].step, self.backstage.now())
        left = CANCELLED
        try:
            step = self.steps[at]
            exit = await step.run(self.call, self.backstage)
            if exit not in step.ends and self.flow.nodes[at].exits.get(exit) not in self.steps:
                raise LookupError(f"the step left by {exit!r}, which leads nowhere")
            left = exit
        except CallEndedError:
            left = CALLER_HUNG_UP
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller is not left in silence
            left = FAILED
            log.error(
                "flow.step_failed",
                flow=self.flow.name,
                version=self.flow.version,
                node=at,
                conversation=str(self.call.conversation_id),
                error=type(error).__name__,
                detail=str(error),
            )
            return None
        else:
            return exit
        finally:
            self.path.left(at, left, self.backstage.now())

    async def give_up(self, end: str) -> str:
        """A word of apology, and good-bye; of a flow that returns, the word alone."""
        try:
            if self.flow.apology is not None:
                await self.call.say(self.flow.apology.spoken(self.call.language, {}), cut_by_key=False)
        except CallEndedError:
            return end
        except Exception as error:  # noqa: BLE001  # the line must be free, whether or not anything could be said
            log.error("flow.apology_failed", flow=self.flow.name, error=type(error).__name__)
        if not any(RETURNED in step.ends for step in self.steps.values()):
            with suppress(CallEndedError):
                await self.call.hang_up()
        return end
