"""Recordings: each is decrypted with its key, and both channels are listened to for runs of key tones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from uuid import UUID

from obstore.exceptions import BaseError as StoreError

from tenderline.app import Services
from tenderline.core import recording_file
from tenderline.core.recording_file import DamagedRecordingError
from tenderline.scan.key_tones import Listener
from tenderline.scan.result import Finding, Notes, Place, Searched
from tenderline.store import recordings
from tenderline.store.recording_store import RecordingStore
from tenderline.store.recordings import Recording

PAGE: Final = 200
_KEPT: Final = frozenset({"open", "stored", "failed"})
_READ_ERRORS: Final = (OSError, StoreError, DamagedRecordingError, ValueError)


async def search(services: Services, notes: Notes) -> None:
    """Every recording that is kept; one that is damaged is named and costs none of the others."""
    began_at, before, count = time.monotonic(), notes.search.bytes_searched, 0
    store = RecordingStore(services.settings)
    last = UUID(int=0)
    while True:
        async with services.pool.acquire() as connection:
            page = await recordings.after(connection, last, PAGE)
        for one in page:
            if one.state in _KEPT:
                count += await _search_one(services, store, notes, one)
        if len(page) < PAGE:
            break
        last = page[-1].id
    await _strangers(services, store, notes)
    size, lasted_s = notes.search.bytes_searched - before, round(time.monotonic() - began_at, 3)
    notes.searched.append(
        Searched(place=Place.RECORDINGS, what="recordings", count=count, bytes=size, lasted_s=lasted_s)
    )


async def _search_one(services: Services, store: RecordingStore, notes: Notes, one: Recording) -> int:
    channels = {"caller": Listener(), "other": Listener()}
    what = f"recording {one.id}"
    try:
        key = recording_file.open_key(one.sealed_key, services.key_for("recordings"), one.id)
        reader = recording_file.Reader(key, one.id)
        async for piece in _pieces(store, one):
            await asyncio.to_thread(_hear, reader, channels, piece)
            await asyncio.to_thread(notes.search.breathe, len(piece))
        if not reader.has_begun:
            raise DamagedRecordingError("It is shorter than its own beginning.")
    except FileNotFoundError:
        if one.state == "stored":
            notes.gap(Place.RECORDINGS, what, "its file is not where it should be")
    except _READ_ERRORS as error:
        notes.gap(Place.RECORDINGS, what, str(error))
    for name, listener in channels.items():
        for run in listener.end():
            written = f"{run.presses} key tones in a row, until {run.until_ms} ms"
            where = f"{what}, channel {name}"
            notes.found(where, Finding(place=Place.RECORDINGS, where=where, offset=run.from_ms, written=written))
    return 1


def _hear(reader: recording_file.Reader, channels: dict[str, Listener], piece: bytes) -> None:
    for caller, other in reader.feed(piece):
        channels["caller"].hear(caller)
        channels["other"].hear(other)


async def _pieces(store: RecordingStore, one: Recording) -> AsyncIterator[bytes]:
    """Of the store; of one that is still being made or could not be kept, as far as it was written."""
    spooled = store.spool / Path(one.path).name
    if one.state == "stored" or not spooled.is_file():
        async for piece in store.pieces(one.path, sensitive=one.sensitive):
            yield piece
        return
    with spooled.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, 1 << 20):
            yield piece


async def _strangers(services: Services, store: RecordingStore, notes: Notes) -> None:
    """Files without a row have no key any more: nobody can listen to them, and neither can we."""
    for sensitive in (False, True):
        try:
            async for path in store.names(sensitive=sensitive):
                async with services.pool.acquire() as connection:
                    if not await recordings.is_known(connection, path, sensitive=sensitive):
                        notes.gap(Place.RECORDINGS, f"file {path}", "it belongs to no recording, and has no key")
        except _READ_ERRORS as error:
            notes.gap(Place.RECORDINGS, "the store of recordings", str(error)[:200])
