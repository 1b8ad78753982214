"""What every call of a node works with, whichever way it came about."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from tenderline.app import Services
from tenderline.flows.call import Backstage
from tenderline.store.recording_store import RecordingStore
from tenderline.voice.card_rooms import CardRooms
from tenderline.voice.directory import Directory
from tenderline.voice.engine import MediaEngine
from tenderline.voice.exchange import Exchange
from tenderline.voice.leg import Leg
from tenderline.voice.prompts.pack import Prompts
from tenderline.voice.scribe import CallScribe
from tenderline.voice.timeline import Timeline


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
