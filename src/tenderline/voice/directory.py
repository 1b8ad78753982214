"""What a node must know at once when a call arrives: lines, flows and telephones, read again every two seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

import structlog

from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.core.phone import normalise
from tenderline.flows import check, shipped
from tenderline.flows.graph import Flow
from tenderline.store import calling_campaigns, lines
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.store.db import Pool
from tenderline.store.lines import Line, Telephone

log: structlog.stdlib.BoundLogger = structlog.get_logger()

REFRESH_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call to a number goes. `version` is None for a flow that is shipped and was not changed here."""

    line: Line
    flow: Flow
    version: int | None


class Directory:
    """The last state that could be read; a database that is away costs no call."""

    def __init__(self, pool: Pool, default_region: str) -> None:
        self._pool, self._region = pool, default_region
        self._lines: dict[str, Line] = {}
        self._flows: dict[str, tuple[Flow, int | None]] = {}
        self._digests: dict[str, bytes] = {}
        self.telephones: list[Telephone] = []
        self.campaigns: list[CallingCampaign] = []
        self._ready: set[str] = set()
        for name in shipped.names():
            self._flows[name] = (shipped.flow(name), None)

    def take_fresh(self) -> list[Flow]:
        """Flows that came since the last time and that a line leads to: what they say can be made ready."""
        led = {line.flow for line in self._lines.values()}
        led |= {name for one in self.campaigns for name in (one.flow, one.machine_flow) if name is not None}
        found = [flow for name, (flow, _) in self._flows.items() if name in led and flow.version not in self._ready]
        self._ready |= {flow.version for flow in found}
        return found

    async def refresh(self) -> None:
        """Reads everything again."""
        async with self._pool.acquire() as connection:
            self._lines = {line.number: line for line in await lines.all_lines(connection)}
            self.telephones = await lines.telephones(connection)
            self.campaigns = await calling_campaigns.every(connection)
            newest = await lines.newest_flows(connection)
        for one in newest:
            if self._digests.get(one.name) == one.digest:
                continue
            self._digests[one.name] = one.digest
            try:
                flow = check.checked(f"{one.name}.toml", one.content)
                check.steps_of(flow)  # read once here, and not when a call waits
                self._flows[one.name] = (flow, one.version)
            except TenderlineError as error:
                log.error("flow_not_usable", flow=one.name, version=one.version, why=error.detail)

    def route(self, called: str) -> Route | None:
        """Where a call to this number goes; None when it is none of ours."""
        line = self._lines.get(called) or self._lines.get(self.number(called) or "")
        if line is None or line.flow not in self._flows:
            return None
        flow, version = self._flows[line.flow]
        return Route(line, flow, version)

    def flow(self, name: str) -> tuple[Flow, int | None] | None:
        """A flow and its version; None when there is none that can be used."""
        return self._flows.get(name)

    def number(self, user: str) -> str | None:
        """The user part of a SIP address as E.164; None when it is no number."""
        if not re.fullmatch(r"\+?[0-9().\- ]{5,20}", user):
            return None
        try:
            return normalise(user, self._region)
        except InvalidInputError:
            return None
