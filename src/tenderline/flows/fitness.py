"""What a flow is fit for: calls that we make, a line, or to be called on a call that lasts.

Whoever is called by a machine must be able to say stop by a key. A flow that gives the caller back at its end needs
somebody to give her to.
"""

from __future__ import annotations

from typing import Final

from tenderline.core.errors import InvalidInputError
from tenderline.flows import check, shipped
from tenderline.flows.graph import Flow
from tenderline.store import calling_campaigns, lines
from tenderline.store.db import Connection

SERVICING: Final = "servicing"
OPT_OUT_STEP: Final = "opt_out"
RETURN_STEP: Final = "return"


class UnknownFlowError(InvalidInputError):
    """There is no flow of this name; put it in first, or take one that is shipped."""

    code = "unknown_flow"


class NoOptOutError(InvalidInputError):
    """A call by a recorded voice must offer a key that ends all calls (47 CFR 64.1200(b)(3)): give the flow a step
    opt_out, or make the campaign's purpose servicing."""

    code = "flow.no_opt_out"


class ReturnsError(InvalidInputError):
    """The flow gives the caller back at its end, by a step return: only somebody on the call can call it. Lead the
    number to a flow that ends the call."""

    code = "flow.returns"


class DoesNotReturnError(InvalidInputError):
    """The flow ends the call, and would not give the caller back: take one that ends with the step return."""

    code = "flow.does_not_return"


async def require(connection: Connection, name: str, *, purpose: str) -> None:
    """Of a flow for calls that we make. Raises `UnknownFlowError`, `InvalidFlowError`, `ReturnsError` or
    `NoOptOutError`."""
    flow = await _found(connection, name)
    if check.returns(flow):
        raise ReturnsError(f"The flow {name!r} cannot be used here: {ReturnsError.__doc__}")
    if purpose != SERVICING and not any(node.step == OPT_OUT_STEP for node in flow.nodes.values()):
        raise NoOptOutError(f"The flow {name!r} has no step opt_out: {NoOptOutError.__doc__}")


async def require_for_line(connection: Connection, name: str) -> None:
    """Of a flow that a number leads to. Raises `UnknownFlowError`, `InvalidFlowError` or `ReturnsError`."""
    if check.returns(await _found(connection, name)):
        raise ReturnsError(f"The flow {name!r} cannot be used here: {ReturnsError.__doc__}")


async def require_to_replace(connection: Connection, flow: Flow) -> None:
    """Of a flow that is put in under its name: what leads there must go on. Raises `InvalidFlowError` or
    `ReturnsError`."""
    if not check.returns(flow):
        return
    led = [one.number for one in await lines.all_lines(connection) if one.flow == flow.name]
    campaigns = await calling_campaigns.every(connection)
    led += [one.name for one in campaigns if flow.name in (one.flow, one.machine_flow)]
    if led:
        raise ReturnsError(f"{', '.join(led)} leads to {flow.name!r}. {ReturnsError.__doc__}")


def require_to_be_called(flow: Flow) -> None:
    """Of a flow that an agent calls on a call that lasts. Raises `InvalidFlowError` or `DoesNotReturnError`."""
    if not check.returns(flow):
        raise DoesNotReturnError(f"The flow {flow.name!r} cannot be used here: {DoesNotReturnError.__doc__}")


async def _found(connection: Connection, name: str) -> Flow:
    newest = {one.name: one.content for one in await lines.newest_flows(connection)}
    if name not in newest and name not in shipped.names():
        known = sorted({*newest, *shipped.names()})
        raise UnknownFlowError(f"There is no flow {name!r}; there are: {', '.join(known)}.")
    return check.checked(f"{name}.toml", newest[name]) if name in newest else shipped.flow(name)
