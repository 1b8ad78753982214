"""Connects a caller with somebody else: an agent who waits for calls, or anybody on a telephone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar
from uuid import UUID

from tenderline.routing.queues import NOTHING, Wish
from tenderline.store.conversations import SegmentKind
from tenderline.voice.leg import Leg
from tenderline.voice.party import Party

Unreached = Literal["busy", "no_answer", "failed"]
NoAgent = Literal["timed_out", "nobody", "kept"]
NoAnswer = Literal["not_free", "no_answer"]


T = TypeVar("T")


class Talker(Protocol):
    """Somebody on the line whom a caller talks with: by a telephone (`Party`) or by a browser (`BrowserParty`)."""

    on_hold: Callable[[bool], None] | None

    @property
    def leg(self) -> Leg:
        """The audio."""
        ...

    @property
    def is_gone(self) -> bool:
        """Whether the party has hung up, or we did."""
        ...

    async def gone(self) -> None:
        """Returns when the party has hung up."""
        ...

    async def while_there(self, work: Awaitable[T]) -> T:
        """The result of `work`; raises `CallEndedError` as soon as the party is gone."""
        ...

    def close(self) -> None:
        """Hangs up and frees the media; twice is no error."""
        ...


@dataclass(frozen=True, slots=True)
class AgentOnCall:
    """An agent who took a call; `release` hangs up and gives her back to the queue. `overflowed`: not of the queue that
    the caller is in, who is a Priority then."""

    name: str
    party: Talker
    release: Callable[[], None]
    agent_id: UUID | None = None
    overflowed: bool = False


@dataclass(frozen=True, slots=True)
class Other:
    """Whoever is on the line for a caller: an agent, or somebody outside. `release` ends her part; twice is no error.
    `participant`: as whom she is in the books already, if so."""

    party: Talker
    kind: SegmentKind
    name: str
    release: Callable[[], None]
    agent_id: UUID | None = None
    participant: UUID | None = None

    @staticmethod
    def agent(one: AgentOnCall) -> Other:
        """An agent."""
        return Other(one.party, "agent", one.name, one.release, one.agent_id)


def once(what: Callable[[], None]) -> Callable[[], None]:
    """Does it the first time only: whoever was let go may be reserved again by the second."""
    is_done = False

    def do() -> None:
        nonlocal is_done
        if not is_done:
            is_done = True
            what()

    return do


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
        entered: Callable[[], None] | None = None,
    ) -> AgentOnCall | NoAgent:
        """The agent who answered; "kept" when the caller hangs up now and keeps her place. `entered` is called once she
        is in line."""
        ...

    async def agent(
        self,
        agent_id: UUID,
        *,
        caller: str | None,
        conversation_id: UUID,
        queue: str | None = None,
        reserved: Callable[[], None] | None = None,
        monitors: bool = False,
    ) -> AgentOnCall | NoAnswer:
        """This agent, when she is free, or writes up this very call, and answers. `reserved` is called before she is
        rung. Whoever only wants to listen may be away."""
        ...

    def may_dial(self, to: str) -> bool:
        """Whether a number could be reached at all, as things are set."""
        ...

    async def reach(self, to: str, *, ring_s: float, caller: str | None) -> Party | Unreached:
        """A party on the line, or why there is none. `to` is E.164 or a `sip:` address that is allowed."""
        ...

    def uri_of(self, to: str) -> str:
        """The SIP URI that a transfer to this number names."""
        ...
