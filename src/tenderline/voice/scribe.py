"""Keeps the books of one call: its parts, the steps of its flow, who was on it, and its recording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Concatenate, ParamSpec
from uuid import UUID

import structlog

from tenderline.core import recording_file
from tenderline.core.ids import uuid7
from tenderline.store import conversations, recordings
from tenderline.store.conversations import Purpose, SegmentKind
from tenderline.store.db import Connection
from tenderline.store.recording_store import RecordingStore
from tenderline.voice.leg import Leg
from tenderline.voice.recorder import Recorder
from tenderline.voice.timeline import Entry, Timeline

log: structlog.stdlib.BoundLogger = structlog.get_logger()

P = ParamSpec("P")


class CallScribe:
    """Of one conversation. Writing never waits; the recording is stored when the call is over."""

    def __init__(
        self,
        conversation_id: UUID,
        leg: Leg | None,
        *,
        timeline: Timeline,
        store: RecordingStore,
        writer: ThreadPoolExecutor,
        master_key: bytes,
        keep_days: int,
    ) -> None:
        self._id, self._leg = conversation_id, leg
        self._timeline, self._store, self._writer = timeline, store, writer
        self._master_key, self._keep, self._sensitive = master_key, timedelta(days=keep_days), False
        self._segments = self._steps = 0
        self._recorder: Recorder | None = None

    def begin(self, call: conversations.Started, *, kind: SegmentKind = "ivr") -> None:
        """The call is there, or is being dialled."""
        self._timeline.put(lambda connection: conversations.start(connection, call))
        self.join(uuid7(), "caller", call.caller if call.direction == "inbound" else call.called)
        self.segment(kind)

    def watch(self, leg: Leg) -> None:
        """From now on there is a leg that could be recorded."""
        self._leg = leg

    def join(self, id: UUID, purpose: Purpose, address: str | None) -> None:
        """Somebody is on the call from now on."""
        self._put(conversations.join, id, purpose, address, datetime.now(UTC))

    def leave(self, id: UUID) -> None:
        """Somebody is not on it any more."""
        self._put(conversations.leave, id, datetime.now(UTC))

    def note(self, entry: Entry) -> None:
        """Written down after what happened before."""
        self._timeline.put(entry)

    def answered(self) -> None:
        """The call was taken."""
        self._put(conversations.answered, datetime.now(UTC))

    def segment(self, kind: SegmentKind, detail: str = "") -> None:
        """Another part of the call begins."""
        self._segments += 1
        self._put(conversations.segment, self._segments, kind, detail, datetime.now(UTC))

    def entered(self, node: str, step: str, at: datetime) -> None:
        """The flow came to a step."""
        self._steps += 1
        self._put(conversations.step_entered, self._steps, node, step, at)

    def left(self, node: str, exit: str, at: datetime) -> None:
        """The flow left the step by an exit."""
        del node
        self._put(conversations.step_left, self._steps, exit, at)

    def keys(self, keys: str) -> None:
        """Keys of a line check; no other flow keeps any."""
        self._put(conversations.keep_keys, keys)

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        """Records from here, or is silent from here, on both sides; the clock of the recording goes on. Once it is
        `sensitive` it stays so, from its beginning to its end."""
        if sensitive and not self._sensitive:
            self._sensitive = True
            if self._recorder is not None:
                self._mark_sensitive(self._recorder.recording_id)
        if self._recorder is None:
            if on:
                self._begin_recording()
            return
        self._recorder.pause(not on)

    def _begin_recording(self) -> None:
        assert self._leg is not None, "somebody is on the line"
        made, key, at = uuid7(), recording_file.new_key(), datetime.now(UTC)
        path = f"{at:%Y/%m/%d}/{made}.tlr"
        sealed = recording_file.seal_key(key, self._master_key, made)
        self._timeline.put(
            lambda connection: recordings.begin(
                connection, made, self._id, sensitive=self._sensitive, sealed_key=sealed, path=path, at=at
            )
        )
        self._path = path
        self._recorder = Recorder(made, key, self._store.spool / f"{made}.tlr", self._writer)
        self._leg.tap = self._recorder.feed

    def _mark_sensitive(self, recording_id: UUID) -> None:
        self._timeline.put(lambda connection: recordings.mark_sensitive(connection, recording_id))

    async def end(self, *, by: str, why: str) -> None:
        """The call is over: the books are closed, and the recording goes to its store."""
        at = datetime.now(UTC)
        self._timeline.put(lambda connection: conversations.ended(connection, self._id, at, by=by, why=why))
        recorder = self._recorder
        if recorder is None:
            return
        marks = [recordings.Mark(one.at_ms, one.paused) for one in recorder.marks]
        failed = recorder.failed
        try:
            await recorder.finish()
            if failed is None:
                await self._store.keep(recorder.path, self._path, sensitive=self._sensitive)
        except OSError as error:
            failed = str(error)
            log.error("recording_not_stored", recording=str(recorder.recording_id), why=failed)
        done = recorder.recording_id
        if failed is None:
            self._timeline.put(
                lambda connection: recordings.stored(
                    connection, done, duration_ms=recorder.duration_ms, marks=marks, keep=self._keep
                )
            )
        else:
            why_failed = failed
            self._timeline.put(
                lambda connection: recordings.failed(
                    connection, done, why=why_failed, duration_ms=recorder.duration_ms, marks=marks
                )
            )

    def _put(
        self, write: Callable[Concatenate[Connection, UUID, P], Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        self._timeline.put(lambda connection: write(connection, self._id, *args, **kwargs))
