"""Whether a flow is fit for calls that we make: whoever is called by a machine must be able to say stop by a key."""

from __future__ import annotations

from typing import Final

from tenderline.core.errors import InvalidInputError
from tenderline.flows import check, shipped
from tenderline.flows.graph import Flow
from tenderline.store import lines
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


def gives_back(flow: Flow) -> bool:
    """Whether it can be run on a call within another: some step of it gives the caller back."""
    return any(node.step == RETURN_STEP for node in flow.nodes.values())


async def require(connection: Connection, name: str, *, purpose: str) -> None:
    """Raises `UnknownFlowError`, `InvalidFlowError` or `NoOptOutError`."""
    newest = {one.name: one.content for one in await lines.newest_flows(connection)}
    if name not in newest and name not in shipped.names():
        known = sorted({*newest, *shipped.names()})
        raise UnknownFlowError(f"There is no flow {name!r}; there are: {', '.join(known)}.")
    flow = check.checked(f"{name}.toml", newest[name]) if name in newest else shipped.flow(name)
    if purpose != SERVICING and not any(node.step == OPT_OUT_STEP for node in flow.nodes.values()):
        raise NoOptOutError(f"The flow {name!r} has no step opt_out: {NoOptOutError.__doc__}")
