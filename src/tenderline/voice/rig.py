"""What every call of a node works with, whichever way it came about."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

from tenderline.app import Services
from tenderline.flows import check
from tenderline.flows import run as flow_run
from tenderline.flows.call import Backstage
from tenderline.store.recording_store import RecordingStore
from tenderline.voice.card_rooms import CardRooms
from tenderline.voice.directory import Directory
from tenderline.voice.ears import Ears
from tenderline.voice.engine import MediaEngine
from tenderline.voice.exchange import Exchange
from tenderline.voice.leg import Leg
from tenderline.voice.orders import Orders
from tenderline.voice.party import Party
from tenderline.voice.phone_call import PhoneCall
from tenderline.voice.prompts.pack import Prompts
from tenderline.voice.scribe import CallScribe
from tenderline.voice.timeline import Timeline


class SubFlows:
    """Of one call."""

    def __init__(self, directory: Directory, backstage: Backstage, path: flow_run.Path) -> None:
        self._directory, self._backstage, self._path = directory, backstage, path

    def knows(self, name: str) -> bool:
        """Whether there is one of this name that gives the caller back."""
        found = self._directory.flow(name)
        return found is not None and check.returns(found[0])

    async def run(self, call: PhoneCall, name: str) -> str:
        """Walks it; how it ended."""
        found = self._directory.flow(name)
        assert found is not None, "looked at before"
        language = call.language
        try:
            return await flow_run.run(found[0], call, self._backstage, self._path)
        finally:
            call.speak_language(language)


@dataclass(frozen=True, slots=True)
class Rig:
    """Of one node."""

    services: Services
    engine: MediaEngine
    exchange: Exchange
    directory: Directory
    timeline: Timeline
    prompts: Prompts
    backstage: Backstage
    recording_store: RecordingStore
    writer: ThreadPoolExecutor
    master_key: bytes
    cards: CardRooms | None
    ears: Ears | None = None
    live: dict[UUID, Orders] = field(default_factory=dict)
    """What can be asked of the calls that last."""

    def phone_call(
        self,
        party: Party,
        scribe: CallScribe,
        *,
        conversation_id: UUID,
        caller: str | None,
        called: str,
        language: str,
        taken: bool = False,
    ) -> PhoneCall:
        """A call as the steps of a flow see it; from now on something can be asked of it."""
        call = PhoneCall(
            party,
            conversation_id=conversation_id,
            caller=caller,
            called=called,
            language=language,
            prompter=self.prompts,
            scribe=scribe,
            switch=self.exchange,
            taken=taken,
            cards=self.cards,
            flows=self.flows(scribe),
        )
        self.live[conversation_id] = call.orders
        if self.ears is not None:
            self.ears.listen(conversation_id, party.leg, language)
        return call

    def flows(self, scribe: CallScribe) -> SubFlows:
        """Flows that run on a call within another; their steps are written down by the same scribe."""
        return SubFlows(self.directory, self.backstage, scribe)

    def scribe(self, conversation_id: UUID, leg: Leg | None = None) -> CallScribe:
        """The books of a call, not begun yet."""
        return CallScribe(
            conversation_id,
            leg,
            timeline=self.timeline,
            store=self.recording_store,
            writer=self.writer,
            master_key=self.master_key,
            keep_days=self.services.settings.voice.recordings_kept_days,
        )
