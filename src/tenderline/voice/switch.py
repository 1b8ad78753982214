"""Connects a caller with somebody else: an agent who waits for calls, or anybody on a telephone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from tenderline.routing.queues import NOTHING, Wish
from tenderline.voice.party import Party

Unreached = Literal["busy", "no_answer", "failed"]
NoAgent = Literal["timed_out", "nobody", "kept"]


@dataclass(frozen=True, slots=True)
class AgentOnCall:
    """An agent who took a call; `release` hangs up and gives her back to the queue. `overflowed`: not of the queue that
    the caller is in, who is a Priority then."""

    name: str
    party: Party
    release: Callable[[], None]
    agent_id: UUID | None = None
    overflowed: bool = False


class Place:
    """A place in line that may be kept: whether that is offered by now, and whether the caller wants it."""

    def __init__(self) -> None:
        self.offered, self.wanted = asyncio.Event(), asyncio.Event()


class Switch(Protocol):
    """What a call needs of the node to reach others."""

    async def agent_for(
        self,
        queue: str,
        *,
        wait_max_s: float,
        caller: str | None,
        conversation_id: UUID,
        wish: Wish = NOTHING,
        place: Place | None = None,
    ) -> AgentOnCall | NoAgent:
        """The agent who answered; "kept" when the caller hangs up now and keeps her place."""
        ...

    async def reach(self, to: str, *, ring_s: float, caller: str | None) -> Party | Unreached:
        """A party on the line, or why there is none. `to` is E.164 or a `sip:` address that is allowed."""
        ...

    def uri_of(self, to: str) -> str:
        """The SIP URI that a transfer to this number names."""
        ...
