"""Connects a caller with somebody else: an agent who waits for calls, or anybody on a telephone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from tenderline.voice.party import Party

Unreached = Literal["busy", "no_answer", "failed"]
NoAgent = Literal["timed_out", "nobody"]


@dataclass(frozen=True, slots=True)
class AgentOnCall:
    """An agent who took a call; `release` hangs up and gives her back to the queue."""

    name: str
    party: Party
    release: Callable[[], None]


class Switch(Protocol):
    """What a call needs of the node to reach others."""

    async def agent_for(self, queue: str, *, wait_max_s: float, caller: str | None) -> AgentOnCall | NoAgent:
        """The agent who answered; those who wait longest are served first."""
        ...

    async def reach(self, to: str, *, ring_s: float, caller: str | None) -> Party | Unreached:
        """A party on the line, or why there is none. `to` is E.164 or a `sip:` address that is allowed."""
        ...

    def uri_of(self, to: str) -> str:
        """The SIP URI that a transfer to this number names."""
        ...
