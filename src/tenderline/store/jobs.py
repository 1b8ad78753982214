"""Reactions and other small work, on pgqueuer in the same database: a job is enqueued in the transaction that wants it.

A job may run twice after a crash, so every reaction is idempotent. One that keeps failing is parked with its reason
and can be replayed.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pgqueuer.core.executors import EntrypointExecutor
from pgqueuer.core.qm import QueueManager
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.models import Context, Job
from pgqueuer.queries import Queries
from pgqueuer.types import JobId

if TYPE_CHECKING:
    from tenderline.store.db import Connection, Pool

TRIES_MAX = 30  # hours, with pauses of at most BACK_OFF_MAX_S: longer than a gateway is usually away
BACK_OFF_FIRST_S = 1.0
BACK_OFF_MAX_S = 600.0
DEAD_LISTED_MAX = 200

Handler = Callable[[bytes], Awaitable[None]]


def _driver(connection: Connection) -> AsyncpgDriver:
    return AsyncpgDriver(connection)  # type: ignore[arg-type]  # a pool's proxy answers the same calls


async def install(connection: Connection) -> None:
    """Creates or upgrades the tables of the job engine."""
    queries = Queries(_driver(connection))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()


async def enqueue(
    connection: Connection,
    name: str,
    payload: bytes,
    *,
    key: str,
    delay_s: float = 0.0,
    urgency: int = 0,
) -> None:
    """One job in the caller's transaction. While a job of the same `key` is waiting, another changes nothing."""
    await Queries(_driver(connection)).enqueue(
        name,
        payload,
        priority=-urgency,
        execute_after=timedelta(seconds=delay_s),
        dedupe_key=key,
        on_conflict="skip",
    )


def back_off_s(tries: int, *, first_s: float = BACK_OFF_FIRST_S, max_s: float = BACK_OFF_MAX_S) -> float:
    """Seconds to wait after `tries` failures: doubling, with full jitter so that a crowd does not come back at once."""
    ceiling = min(max_s, first_s * 2.0 ** min(tries, 30))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311  # spreading load is not a secret


@dataclass
class _JitteredRetry(EntrypointExecutor):
    """Runs a job again after a pause, until `TRIES_MAX`; then the failure is final and the job is parked."""

    async def execute(self, job: Job, context: Context) -> None:
        try:
            await super().execute(job, context)
        except RetryRequested:
            raise
        except Exception as error:
            if job.attempts + 1 >= TRIES_MAX:
                raise
            delay = timedelta(seconds=back_off_s(job.attempts))
            raise RetryRequested(delay=delay, reason=f"{type(error).__name__}: {error}") from error


class JobRunner:
    """Runs jobs by name until `stop`."""

    def __init__(self, pool: Pool, handlers: dict[str, Handler], *, concurrency_max: int = 20) -> None:
        self._pool = pool
        self._handlers = handlers
        self._concurrency_max = concurrency_max
        self._manager: QueueManager | None = None
        self._stopped = False

    async def run(self) -> None:
        """Until `stop` is called; jobs under way are finished. May be called again after it failed."""
        if self._stopped:
            return
        # Anew each time: a manager that lost its database keeps a connection that is none any more.
        self._manager = QueueManager(Queries(AsyncpgPoolDriver(self._pool)))
        for name, handler in self._handlers.items():
            self._manager.entrypoint(name, on_failure="hold", executor_factory=_JitteredRetry)(_adapt(handler))
        await self._manager.run(
            batch_size=self._concurrency_max // 2,
            max_concurrent_tasks=self._concurrency_max,
            dequeue_timeout=timedelta(seconds=1),
            heartbeat_timeout=timedelta(seconds=30),
        )

    def stop(self) -> None:
        """Lets `run` come to its end."""
        self._stopped = True
        if self._manager is not None:
            self._manager.shutdown.set()


def _adapt(handler: Handler) -> Callable[[Job], Awaitable[None]]:
    async def run(job: Job) -> None:
        await handler(job.payload or b"")

    return run


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that failed for good."""

    id: int
    name: str
    payload: bytes
    tries: int
    created_at: datetime
    why: str


async def dead(pool: Pool) -> list[DeadJob]:
    """The parked jobs, newest first, each with the reason of its last failure."""
    queries = Queries(AsyncpgPoolDriver(pool))
    found: list[DeadJob] = []
    for job in await queries.list_failed_jobs(limit=DEAD_LISTED_MAX):
        history = await queries.job_log_history(job.id)
        traces = [entry.traceback for entry in history if entry.traceback is not None]
        why = f"{traces[-1].exception_type}: {traces[-1].exception_message}" if traces else "unknown"
        found.append(DeadJob(int(job.id), job.entrypoint, job.payload or b"", job.attempts, job.created, why))
    return found


async def replay(pool: Pool, ids: list[int]) -> None:
    """Puts parked jobs back into the queue, with all their tries before them."""
    await Queries(AsyncpgPoolDriver(pool)).requeue_jobs([JobId(job_id) for job_id in ids])
