"""Recordings are deleted when their time is over, with their keys; those of a dead process are brought home."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from support import services
from tenderline.core import recording_file
from tenderline.core.ids import uuid7
from tenderline.store import conversations, recording_care, recordings, voice_nodes
from tenderline.store.recording_store import RecordingStore

AT = datetime(2026, 11, 20, 15, tzinfo=UTC)
KEEP = timedelta(days=1)


@pytest.fixture
def store(pool, tmp_path):
    return RecordingStore(services.make(pool, data_dir=str(tmp_path)).settings)


async def open_recording(pool, store, *, ended=True, seconds=3):
    """A recording whose writer was killed within the next chunk."""
    node, call, tape, key = uuid7(), uuid7(), uuid7(), recording_file.new_key()
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, node, "192.0.2.1:5060", 1)
        started = conversations.Started(call, node, "inbound", None, "400", None, None, None, None, AT)
        await conversations.start(connection, started)
        await recordings.begin(connection, tape, call, sensitive=False, sealed_key=b"k", path=f"{tape}.tlr", at=AT)
        if ended:
            await conversations.ended(connection, call, AT, by="system", why="the node is gone")
    store.spool.mkdir(parents=True, exist_ok=True)
    chunks = [recording_file.chunk(AESGCM(key), tape, n, b"a" * 8000, b"b" * 8000) for n in range(seconds + 1)]
    whole = recording_file.header(tape) + b"".join(chunks)
    (store.spool / f"{tape}.tlr").write_bytes(whole[:-100])
    return tape, key


async def test_what_a_dead_process_recorded_is_stored_up_to_its_last_whole_chunk(pool, store):
    tape, key = await open_recording(pool, store)
    assert await recording_care.adopt(pool, store, keep=KEEP) == 1
    async with pool.acquire() as connection:
        row = await recordings.get(connection, tape)
    assert row is not None
    assert (row.state, row.duration_ms) == ("stored", 3000)
    data = await store.read(row.path, sensitive=False)
    assert sum(len(caller) for caller, _ in recording_file.read(data, key, tape)) == 24_000
    assert await recording_care.adopt(pool, store, keep=KEEP) == 0


async def test_what_is_still_being_written_or_nobodys_is_left_alone(pool, store):
    await open_recording(pool, store, ended=False)
    (store.spool / "notes.tlr").write_bytes(b"x")
    (store.spool / f"{uuid7()}.tlr").write_bytes(b"x")
    assert await recording_care.adopt(pool, store, keep=KEEP) == 0
    assert len(list(store.spool.iterdir())) == 3


async def test_a_recording_goes_with_its_key_when_its_time_is_over(pool, store):
    tape, _ = await open_recording(pool, store)
    await recording_care.adopt(pool, store, keep=KEEP)
    assert await recording_care.delete_due(pool, store) == 0
    await pool.execute("UPDATE recording SET delete_after = now() - interval '1 second'")
    assert await recording_care.delete_due(pool, store) == 1
    async with pool.acquire() as connection:
        row = await recordings.get(connection, tape)
    assert row is not None
    assert (row.state, row.sealed_key) == ("deleted", b"")
    with pytest.raises(FileNotFoundError):
        await store.read(row.path, sensitive=False)


@pytest.mark.parametrize("harm", ["changed", "swapped", "other file", "other key"])
async def test_a_recording_that_was_tampered_with_is_not_played(harm):
    tape, key = uuid7(), recording_file.new_key()
    parts = [recording_file.chunk(AESGCM(key), tape, n, b"a" * 160, b"b" * 160) for n in range(2)]
    head = recording_file.header(tape)
    data, reader, name = head + b"".join(parts), key, tape
    match harm:
        case "changed":
            data = data[:60] + bytes([data[60] ^ 1]) + data[61:]
        case "swapped":
            data = head + parts[1] + parts[0]
        case "other file":
            name = uuid7()
        case "other key":
            reader = recording_file.new_key()
    with pytest.raises(recording_file.DamagedRecordingError):
        list(recording_file.read(data, reader, name))
