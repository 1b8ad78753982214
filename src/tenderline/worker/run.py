"""The worker: a few loops that look for due work on a hint or a tick, and stop together without dropping anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from tenderline.app import Services
from tenderline.campaigns import callbacks
from tenderline.notify import delivery
from tenderline.outgoing.delivery import Deliveries
from tenderline.people import distress
from tenderline.recovery import cases
from tenderline.store import (
    answered_requests,
    attempts,
    audit,
    crm_told,
    donors,
    events,
    holds,
    inbox,
    live_commands,
    outcomes,
    outgoing,
)
from tenderline.store.jobs import JobRunner, back_off_s
from tenderline.worker import money, reactions
from tenderline.worker.nightly_scan import NightlyScan
from tenderline.worker.read import read_some

log = structlog.get_logger(__name__)

LOOKUP_WAIT_MAX_S = 3_600.0
HOUSEKEEPING_S = 60.0
RECONCILE_S = 15.0
LEAD_S = 5.0
FORGOTTEN_MAX = 5_000
LISTEN_CHECK_S = 5.0
LOOP_BACK_OFF_MAX_S = 30.0
STOP_TIMEOUT_S = 30.0

Step = Callable[[], Awaitable[int]]


class Worker:
    """All loops of one worker process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = asyncio.Event()
        self._inbox_hint = asyncio.Event()
        self._attempt_hint = asyncio.Event()
        self._jobs = JobRunner(services.pool, reactions.handlers(services))
        self._webhooks = Deliveries(services)
        self._scan = NightlyScan(services)

    async def run(self) -> None:
        """Until `stop`. A loop that fails (the database went away) backs off and goes on."""
        events.subscribe(reactions.subscriptions())
        tick_s = self._services.settings.worker.tick_s
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loop("listen", self._listen, tick_s, asyncio.Event()))
            group.create_task(self._loop("inbox", self._read, tick_s, self._inbox_hint))
            group.create_task(self._loop("attempts", self._send, tick_s, self._attempt_hint))
            group.create_task(self._loop("doubts", self._doubts, tick_s, asyncio.Event()))
            group.create_task(self._loop("charges", self._ask_gateways, RECONCILE_S, asyncio.Event()))
            group.create_task(self._loop("money", self._look_after_money, RECONCILE_S, asyncio.Event()))
            group.create_task(self._loop("distress", self._lead_again, LEAD_S, asyncio.Event()))
            group.create_task(self._loop("housekeeping", self._keep_house, HOUSEKEEPING_S, asyncio.Event()))
            group.create_task(
                self._loop("audit head", self._sign, self._services.settings.audit.head_interval_s, asyncio.Event())
            )
            group.create_task(self._loop("jobs", self._run_jobs, tick_s, asyncio.Event()))
            group.create_task(self._loop("webhooks", self._webhooks.send_due, tick_s, asyncio.Event()))
            group.create_task(self._loop("scan", self._scan.turn, HOUSEKEEPING_S, asyncio.Event()))
            group.create_task(self._stop_jobs())
        await self._webhooks.close()
        log.info("worker stopped")

    def stop(self) -> None:
        """Lets every loop finish its turn and end."""
        self._stopping.set()
        self._inbox_hint.set()
        self._attempt_hint.set()
        self._scan.stop()

    async def _loop(self, name: str, step: Step, pause_s: float, hint: asyncio.Event) -> None:
        failures = 0
        while not self._stopping.is_set():
            hint.clear()
            try:
                did = await step()
            except money.PASSING as error:
                failures += 1
                log.warning("loop failed", loop=name, error=type(error).__name__, detail=str(error)[:300])
                await self._sleep(back_off_s(failures, max_s=LOOP_BACK_OFF_MAX_S), asyncio.Event())
                continue
            failures = 0
            if did == 0:
                await self._sleep(pause_s, hint)

    async def _sleep(self, pause_s: float, hint: asyncio.Event) -> None:
        waiters = [asyncio.create_task(one.wait()) for one in (hint, self._stopping)]
        try:
            await asyncio.wait(waiters, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()

    async def _listen(self) -> int:
        """Holds one connection that listens for hints; a lost hint costs one tick."""
        async with self._services.pool.acquire() as connection:
            lost = asyncio.Event()

            def on_hint(*_: object) -> None:
                self._inbox_hint.set()

            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(inbox.CHANNEL, on_hint)
            try:
                while not self._stopping.is_set() and not lost.is_set():
                    await self._sleep(LISTEN_CHECK_S, lost)
            finally:
                if not lost.is_set():
                    await connection.remove_listener(inbox.CHANNEL, on_hint)
        return 0

    async def _read(self) -> int:
        did = await read_some(self._services)
        if did:
            self._attempt_hint.set()
            await events.hint(self._services.pool)
        return did

    async def _send(self) -> int:
        services, settings = self._services, self._services.settings.worker
        claim = await attempts.claim(
            services.pool,
            services.book,
            batch_max=settings.batch_max,
            lease_s=settings.lease_s,
            defaults=services.defaults,
        )
        if claim.leased:
            await delivery.send_all(services, claim.leased)
        if claim.looked_at:
            await events.hint(services.pool)
        return claim.looked_at

    async def _doubts(self) -> int:
        askable = frozenset(one.name for one in self._services.messengers.values() if one.can_be_asked)
        did = await outcomes.expire_leases(self._services.pool, askable=askable)
        did += await delivery.ask_providers(self._services)
        if did:
            await events.hint(self._services.pool)
        return 0  # each of these has its own next turn: the tick is soon enough

    async def _ask_gateways(self) -> int:
        return await money.ask_gateways(self._services)

    async def _look_after_money(self) -> int:
        return await money.look_after(self._services)

    async def _lead_again(self) -> int:
        async with self._services.pool.acquire() as connection, connection.transaction():
            await distress.lead_again(connection)
        return 0

    async def _keep_house(self) -> int:
        async with self._services.pool.acquire() as connection, connection.transaction():
            await cases.give_up_spent(connection, cases.practice_of(self._services))
        services = self._services
        await attempts.claim(
            services.pool,
            services.book,
            batch_max=services.settings.worker.batch_max,
            lease_s=services.settings.worker.lease_s,
            defaults=services.defaults,
            of=attempts.LATE_CALLS,
        )
        async with self._services.pool.acquire() as connection, connection.transaction():
            await callbacks.raise_overdue(connection)
            kept_days = services.settings.distress.transcripts_kept_days
            await holds.forget_lines(connection, older_than_days=kept_days, limit=FORGOTTEN_MAX)
        async with self._services.pool.acquire() as connection:
            await outgoing.sweep(connection)
            await answered_requests.sweep(connection)
            await live_commands.sweep(connection)
            await donors.forget(connection, older_than_days=services.settings.crm.kept_days, limit=FORGOTTEN_MAX)
            await crm_told.forget(connection, older_than_days=services.settings.crm.kept_days, limit=FORGOTTEN_MAX)
        await inbox.give_up_waiting(self._services.pool, after_s=LOOKUP_WAIT_MAX_S)
        return 0

    async def _sign(self) -> int:
        key = audit.load_or_make_key(self._services.audit_key_file)
        await audit.sign_head(self._services.pool, key, self._services.audit_head_file)
        return 0

    async def _run_jobs(self) -> int:
        await self._jobs.run()
        return 0

    async def _stop_jobs(self) -> None:
        await self._stopping.wait()
        self._jobs.stop()


async def run(services: Services, stop: asyncio.Event) -> None:
    """One worker until `stop` is set."""
    worker = Worker(services)
    running = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    worker.stop()
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(running, STOP_TIMEOUT_S)
