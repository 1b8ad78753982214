"""Which flows lead callers into a queue: such a queue may not be deleted."""

from __future__ import annotations

from tenderline.flows import check, shipped
from tenderline.flows.graph import Flow
from tenderline.store import calling_campaigns, lines, queues
from tenderline.store.db import Connection
from tenderline.store.queues import QueueInUseError


async def flows_naming(connection: Connection, queue: str) -> list[str]:
    """Those that were put in, and those as shipped to which a line or a calling campaign leads; by name."""
    put = {one.name: one.content for one in await lines.newest_flows(connection)}
    led_to = {one.flow for one in await lines.all_lines(connection)}
    led_to |= {one.flow or "" for one in await calling_campaigns.every(connection)}
    found: set[str] = set()
    for name, text in put.items():
        flow, _ = check.check_text(f"{name}.toml", text)
        if flow is not None and _names(flow, queue):
            found.add(name)
    for name in led_to.intersection(shipped.names()).difference(put):
        if _names(shipped.flow(name), queue):
            found.add(name)
    return sorted(found)


async def remove_queue(connection: Connection, queue: str, *, by: str) -> None:
    """Deletes a queue that nothing uses, no flow either. Raises `NoSuchQueueError`, `QueueInUseError`; audited."""
    if found := await flows_naming(connection, queue):
        raise QueueInUseError(
            f"The queue {queue!r} cannot be deleted: flows lead callers into it ({', '.join(found)}); put in a version "
            "of them that names another queue."
        )
    await queues.remove(connection, queue, by=by)


def _names(flow: Flow, queue: str) -> bool:
    return any(node.parameters.get("queue") == queue for node in flow.nodes.values())
