"""What a telephone call needs besides its line: a voice, its books, and the flows that run within another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from tenderline.flows.spoken import Spoken
from tenderline.store.conversations import Purpose, SegmentKind
from tenderline.voice.secure_payment import Entry

if TYPE_CHECKING:
    from tenderline.voice.phone_call import PhoneCall


class Prompter(Protocol):
    """Turns what is to be said into frames of 160 bytes in mu-law."""

    async def prepare(self, spoken: Spoken) -> list[bytes]:
        """The frames; may take as long as a synthesis."""
        ...


class Scribe(Protocol):
    """Writes the call's timeline and its recording."""

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        """Records from here, or is silent from here."""
        ...

    def segment(self, kind: SegmentKind, detail: str = "") -> None:
        """Another part of the call begins: `ivr`, `queue`, `agent`, `hold`."""
        ...

    def join(self, id: UUID, purpose: Purpose, address: str | None) -> None:
        """Somebody is on the call from now on."""
        ...

    def leave(self, id: UUID) -> None:
        """Somebody is not on it any more."""
        ...

    def note(self, entry: Entry) -> None:
        """Written down in its place among the rest."""
        ...


class Flows(Protocol):
    """Flows that can be run on a call within another."""

    def knows(self, name: str) -> bool:
        """Whether there is one of this name that gives the caller back."""
        ...

    async def run(self, call: PhoneCall, name: str) -> str:
        """Walks it; how it ended."""
        ...
