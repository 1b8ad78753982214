"""Listening for words of distress on every call of a node: what a source hears is read, and acted on at once."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import structlog

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.core.errors import NotFoundError
from tenderline.people import transcript
from tenderline.people.transcript import Utterance
from tenderline.store import alerts, db, holds
from tenderline.voice.leg import Leg
from tenderline.voice.speech import Frames, Heard, SpeechSource

log: structlog.stdlib.BoundLogger = structlog.get_logger()

BY: Final = "speech"
AT_ONCE_MAX: Final = 500
WRITE_TIMEOUT_S: Final = 5.0
TRIES_MAX: Final = 4
AGAIN_AFTER_S: Final = 0.5
_AWAY: Final = (*db.AWAY, NotFoundError)


class Ears:
    """Of one node. Nothing that happens here reaches a call."""

    def __init__(self, services: Services, source: SpeechSource) -> None:
        self._services, self._source = services, source
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, conversation_id: UUID, leg: Leg, language: str) -> None:
        """From here to the end of the leg."""
        if len(self._tasks) >= AT_ONCE_MAX:
            log.error("nobody_listens", conversation=str(conversation_id), why="too many calls at once")
            return
        frames = Frames()
        leg.ear = frames
        task = asyncio.get_running_loop().create_task(self._run(conversation_id, language, frames))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Hears nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._source.close()

    async def _run(self, conversation_id: UUID, language: str, frames: Frames) -> None:
        async def on_heard(heard: Heard) -> None:
            await self._take(conversation_id, heard)

        try:
            await self._source.listen(conversation_id, language, frames, on_heard)
        except Exception:  # a defect of a listener ends its listening, and no call
            log.exception("listening_failed", conversation=str(conversation_id))
        if frames.missed:
            log.warning("sound_missed", conversation=str(conversation_id), frames=frames.missed)

    async def _take(self, conversation_id: UUID, heard: Heard) -> None:
        """Read, and acted on in one transaction; again while the database is away, or the call not in the books."""
        for _ in range(TRIES_MAX):
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await self._act(conversation_id, heard)
                return
            except _AWAY as error:
                log.warning("distress_waits", conversation=str(conversation_id), why=type(error).__name__)
                await asyncio.sleep(AGAIN_AFTER_S)
        log.error("distress_not_read", conversation=str(conversation_id))

    async def _act(self, conversation_id: UUID, heard: Heard) -> None:
        services = self._services
        said = Utterance(text=heard.text, at=utc_now(), is_final=heard.is_final)
        is_hint = getattr(self._source, "is_hint", False)
        is_hit = services.phrases.find(heard.text) is not None
        if not is_hit and (is_hint or not transcript.is_kept(services, said)):
            return  # nearly all that is heard: the database is not asked for it
        async with services.pool.acquire() as connection, connection.transaction():
            if not is_hint:
                await transcript.take(services, connection, conversation_id, [said], by=BY, source="speech")
                return
            call = await holds.call(connection, conversation_id)
            detail = {"source": BY, "reason": f"a hint, not sure: {' '.join(transcript.without_digits([heard.text]))}"}
            person = call.person_id if call is not None else None
            await alerts.raise_one(connection, "escalation", conversation_id, person, detail)
