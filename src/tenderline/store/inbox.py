"""Webhooks on disk before they are acknowledged, many in one commit.

Group commit without a timer: while one flush is on its way to the disk, the next one fills. An idle request waits for
nobody, a crowd shares one commit. Whoever posted gets its 2xx only after the commit that holds its event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog

from tenderline.core.errors import DatabaseUnavailableError, InvalidInputError, MalformedWebhookError
from tenderline.core.pan import mask_card_numbers
from tenderline.core.webhooks import Envelope
from tenderline.store import audit
from tenderline.store.db import Connection, Pool, query
from tenderline.store.jobs import back_off_s

log = structlog.get_logger(__name__)

CHANNEL = "tenderline_inbox"
BODY_BYTES_MAX = 256 * 1024
EVENT_ID_LENGTH_MAX = 255
BATCH_MAX = 500
WAITING_MAX = 20_000
WAITING_BYTES_MAX = 64 * 1024 * 1024
TRIES_MAX = 10
ERROR_LENGTH_MAX = 500

# What is wrong with a row. Everything else is wrong with the database or with the way to it.
_POISON = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError, OverflowError)
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class InboxFullError(DatabaseUnavailableError):
    """Too many webhooks are waiting for the database; post this one again in a few seconds."""

    code = "inbox_full"


class UnstorableWebhookError(DatabaseUnavailableError):
    """This webhook could not be stored; it was not acknowledged, so its sender will post it again."""

    code = "inbox_unstorable"


class NotDeadError(InvalidInputError):
    """Only webhooks that could not be read can be discarded; list the dead letters to see which those are."""

    code = "webhook.not_dead"
    status = 409


@dataclass(slots=True)
class _Waiting:
    source: str
    envelope: Envelope
    done: asyncio.Future[bool]


@dataclass(frozen=True, slots=True)
class Unread:
    """A stored webhook that is to be read."""

    id: int
    source: str
    event_id: str
    event_type: str
    body: bytes
    tries: int
    received_at: datetime


class Inbox:
    """The receiving end, one for each process that takes webhooks."""

    def __init__(self, pool: Pool, *, batch_max: int = BATCH_MAX) -> None:
        self._pool = pool
        self._batch_max = batch_max
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._something = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Inbox:
        self._flusher = asyncio.create_task(self._flush_forever(), name="inbox flusher")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._flusher is not None
        while self._waiting:  # each turn of the flusher empties some of it, or fails it
            await asyncio.wait([item.done for item in self._waiting])
        self._flusher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flusher

    async def receive(self, source: str, envelope: Envelope) -> bool:
        """Returns once the event is committed: True when it is new, False when it was there already.

        Raises `InboxFullError`, `UnstorableWebhookError` or `DatabaseUnavailableError`: the sender must post again.
        """
        size = len(envelope.body)
        assert size <= BODY_BYTES_MAX, "the edge bounds bodies before they get here"
        if len(self._waiting) >= WAITING_MAX or self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise InboxFullError()
        item = _Waiting(source, envelope, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._waiting_bytes += size
        self._something.set()
        return await item.done

    async def _flush_forever(self) -> None:
        while True:
            await self._something.wait()
            batch = [self._waiting.popleft() for _ in range(min(self._batch_max, len(self._waiting)))]
            self._waiting_bytes -= sum(len(item.envelope.body) for item in batch)
            if not self._waiting:
                self._something.clear()
            if batch:
                await self._flush(batch)

    async def _flush(self, batch: list[_Waiting]) -> None:
        try:
            fresh = await self._insert(batch)
        except _POISON as error:
            if len(batch) == 1:
                self._fail(batch, UnstorableWebhookError(), error)
                return
            # One poison row must not fail its batch: each row on its own, so that only the poison fails.
            for item in batch:
                await self._flush([item])
            return
        except Exception as error:  # noqa: BLE001  # a flusher that dies would leave every sender waiting for ever
            self._fail(batch, DatabaseUnavailableError(), error)
            return
        for item in batch:
            if not item.done.done():
                key = (item.source, item.envelope.event_id)
                item.done.set_result(key in fresh)
                fresh.discard(key)  # the same event twice in one batch is new once

    async def _insert(self, batch: list[_Waiting]) -> set[tuple[str, str]]:
        rows = await self._pool.fetch(
            query("inbox", "receive"),
            [item.source for item in batch],
            [item.envelope.event_id for item in batch],
            [item.envelope.event_type for item in batch],
            [int(item.envelope.urgency) for item in batch],
            [item.envelope.subject for item in batch],
            [item.envelope.body for item in batch],
            CHANNEL,
        )
        return {(row["source"], row["event_id"]) for row in rows}

    @staticmethod
    def _fail(batch: list[_Waiting], answer: DatabaseUnavailableError, error: Exception) -> None:
        log.warning("webhooks not stored", count=len(batch), error=type(error).__name__)
        for item in batch:
            if not item.done.done():
                item.done.set_exception(answer)


async def unread_ids(pool: Pool, *, limit: int) -> list[int]:
    """What may be read now, the most urgent first."""
    return [row["id"] for row in await pool.fetch(query("inbox", "unread_ids"), limit)]


async def read_one(pool: Pool, inbox_id: int, handle: Callable[[Connection, Unread], Awaitable[bool]]) -> bool:
    """Reads one webhook in one transaction with everything that follows from it. False: somebody else has it.

    `handle` tells whether all of it is understood; False leaves it waiting, and holding its contacts, until
    `mark_read`. When it raises, nothing of it stays, and the row is put back with the reason and a growing pause; after
    `TRIES_MAX` it is dead: shown, holding its contacts, until somebody replays or discards it. What is malformed is
    dead at once: time does not mend it.
    """
    try:
        async with pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(query("inbox", "lock"), inbox_id)
            if row is None:
                return False
            understood = await handle(connection, Unread(**row))
            await connection.execute(query("inbox", "mark_read" if understood else "mark_waiting"), inbox_id)
    except _UNAVAILABLE:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, the row must not be lost nor block the others
        tries_max = 1 if isinstance(error, MalformedWebhookError) else TRIES_MAX
        why = _why_not_read(error, inbox_id)
        log.warning("webhook not read", inbox_id=inbox_id, why=why)
        await pool.execute(query("inbox", "put_back"), inbox_id, why, back_off_s(0), tries_max)
    return True


def _why_not_read(error: Exception, inbox_id: int) -> str:
    why = mask_card_numbers(f"{type(error).__name__}: {error}")
    if not isinstance(error, MalformedWebhookError):
        return why[:ERROR_LENGTH_MAX]
    then = (
        " It is stored, and holds contacts until it is replayed, once a newer version can read it, or discarded:"
        f" `tenderline replay --webhook {inbox_id}`, `tenderline replay --discard {inbox_id} --why …`."
    )
    return why[: ERROR_LENGTH_MAX - len(then)] + then


async def give_up_waiting(pool: Pool, *, after_s: float) -> list[int]:
    """Shows as dead what has waited that long for its gateway to say which payment it is about; returns their ids."""
    why = "Its gateway has not said which payment it is about. It holds contacts until it is replayed or discarded."
    return [row["id"] for row in await pool.fetch(query("inbox", "give_up_waiting"), after_s, why)]


async def mark_read(connection: Connection, inbox_id: int) -> None:
    """What a waiting webhook lacked is known and done."""
    await connection.execute(query("inbox", "mark_read"), inbox_id)


async def get(connection: Connection, inbox_id: int) -> Unread | None:
    """A stored webhook, read or not."""
    row = await connection.fetchrow(query("inbox", "get"), inbox_id)
    return Unread(**row) if row else None


@dataclass(frozen=True, slots=True)
class DeadWebhook:
    """A stored webhook that could not be read."""

    id: int
    source: str
    event_type: str
    event_id: str
    subject: str | None
    received_at: datetime
    tries: int
    why: str


async def dead(connection: Connection, *, limit: int = 200) -> list[DeadWebhook]:
    """The webhooks that could not be read, newest first."""
    return [DeadWebhook(**row) for row in await connection.fetch(query("inbox", "dead"), limit)]


async def dead_one(connection: Connection, inbox_id: int) -> DeadWebhook | None:
    """A webhook that could not be read; None when it is none, or none any more."""
    row = await connection.fetchrow(query("inbox", "dead_one"), inbox_id)
    return DeadWebhook(**row) if row else None


async def replay(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Puts webhooks back to be read again, whatever became of them: reading is idempotent. Returns those there are."""
    return [row["id"] for row in await connection.fetch(query("inbox", "replay"), list(ids))]


async def discard(connection: Connection, ids: Sequence[int], *, by: str, why: str) -> None:
    """Gives up dead webhooks, all of them or none, and writes down who and why: they hold no contact any more.

    They stay stored, and `replay` brings them back. Raises `NotDeadError`.
    """
    done = {row["id"] for row in await connection.fetch(query("inbox", "discard"), list(ids))}
    if others := sorted(set(ids) - done):
        named = ", ".join(map(str, others))
        raise NotDeadError(
            f"Not dead, so not to be discarded: webhook {named}. `tenderline replay` lists those that are."
        )
    data = {"webhooks": sorted(done), "why": mask_card_numbers(why)}
    await audit.append(connection, actor=by, action="dead_letters.discard", subject="dead_letters", data=data)
