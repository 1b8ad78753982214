"""Runs a flow on a call: step after step, each one told to the timeline, until somebody hangs up or the flow ends."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import structlog

from tenderline.flows.call import Backstage, Call, CallEndedError
from tenderline.flows.graph import Flow, Node

log: structlog.stdlib.BoundLogger = structlog.get_logger()

STEPS_MAX = 500
HUNG_UP = "caller_hung_up"
DEFECT = "defect"


class Path(Protocol):
    """Told which way a call takes."""

    def entered(self, node: str, step: str, at: datetime) -> None:
        """The call came to a node."""
        ...

    def left(self, node: str, exit: str, at: datetime) -> None:
        """It left the node by an exit."""
        ...


async def run(flow: Flow, call: Call, backstage: Backstage, path: Path) -> str:
    """Why it ended: the name of its last node, "caller_hung_up", "defect", or "too_many_steps"."""
    call.variables.setdefault("caller", call.caller)
    call.variables.setdefault("called", call.called)
    call.variables.setdefault("language", call.language)
    node: Node | None = flow.nodes[flow.start]
    failed = False
    for _ in range(STEPS_MAX):
        assert node is not None, "every exit is wired"
        path.entered(node.name, node.step.kind(), backstage.now())
        try:
            exit = await node.step.run(call, backstage, frozenset(node.exits))
        except CallEndedError:
            path.left(node.name, HUNG_UP, backstage.now())
            return HUNG_UP
        except Exception:
            log.exception("step_failed", flow=flow.name, node=node.name, step=node.step.kind())
            path.left(node.name, DEFECT, backstage.now())
            if failed or flow.on_error is None:
                await call.hang_up()
                return DEFECT
            failed, node = True, flow.nodes[flow.on_error]
            continue
        path.left(node.name, exit, backstage.now())
        if node.step.is_end and exit not in node.exits:
            await call.hang_up()
            return node.name
        node = flow.nodes.get(node.exits.get(exit, ""))
        if node is None:
            log.error("exit_leads_nowhere", flow=flow.name, exit=exit)
            await call.hang_up()
            return DEFECT
    log.error("too_many_steps", flow=flow.name)
    await call.hang_up()
    return "too_many_steps"
