"""The receiving end dies: what was acknowledged is there, what was not is posted again, and nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from support.processes import open_folder
from support.product import failed_payment, open_town, succeeded_payment, until
from tenderline.store import db
from tenderline.store.embedded import EmbeddedPostgres


@pytest.fixture
async def town(database_url, tmp_path):
    tmp_path.chmod(0o755)
    async with open_town(database_url, tmp_path) as opened:
        yield opened


async def post_until_acknowledged(town, body):
    """As a gateway does: again and again until there is a 2xx."""

    async def post():
        return await town.post(body) == 200

    return await until(post, "an acknowledgement")


@pytest.mark.parametrize("step", ["kill:before:insert", "kill:after:insert"])
async def test_an_api_killed_between_receive_and_answer_loses_nothing(town, step):
    doomed = await town.start("api", fatal=step)
    assert await town.post(failed_payment("pi_1", email="a@example.org")) == 0, "no answer, so the gateway posts again"
    assert await asyncio.wait_for(doomed.wait(), 30) == -signal.SIGKILL
    await town.start("api")
    await post_until_acknowledged(town, failed_payment("pi_1", email="a@example.org"))
    assert await town.fetchval("SELECT count(*) FROM inbox") == 1


async def test_an_api_killed_under_load_keeps_everything_it_acknowledged(town):
    api = await town.start("api")
    acknowledged: set[str] = set()

    async def sender(number):
        for serial in range(60):
            transaction = f"pi_{number}_{serial}"
            if await town.post(failed_payment(transaction, email=f"{transaction}@example.org")) == 200:
                acknowledged.add(f"evt_{transaction}_failed")

    async def killer():
        await until(lambda: len(acknowledged) > 150, "some load")
        api.kill()

    await asyncio.gather(killer(), *(sender(number) for number in range(16)))
    stored = {row["event_id"] for row in await town.fetch("SELECT event_id FROM inbox")}
    assert acknowledged
    assert acknowledged <= stored


async def test_two_api_processes_given_the_same_event_make_one_case(town):
    await town.start("api")
    await town.start("api", port=town.ports[1])
    await town.start("work")
    body = failed_payment("pi_twice", email="twice@example.org")
    statuses = await asyncio.gather(*(town.post(body, port=town.ports[at % 2]) for at in range(20)))
    assert statuses == [200] * 20
    await until(lambda: town.fetchval("SELECT count(*) FROM recovery_case"), "the case")
    await until(lambda: town.fetchval("SELECT count(*) FROM inbox WHERE state = 'read'"), "the event to be read")
    assert await town.fetchval("SELECT count(*) FROM inbox") == 1
    assert await town.fetchval("SELECT count(*) FROM recovery_case") == 1


@pytest.mark.parametrize(
    "step", ["kill:before:read", "kill:after:read", "kill:before:open_case", "kill:after:open_case"]
)
async def test_a_worker_killed_while_it_reads_or_reacts_makes_one_case_all_the_same(town, step):
    await town.start("api")
    doomed = await town.start("work", fatal=step)
    assert await town.post(failed_payment("pi_k", phone="+12025550177")) == 200
    assert await asyncio.wait_for(doomed.wait(), 60) == -signal.SIGKILL
    await town.start("work")
    await until(lambda: town.fetchval("SELECT count(*) FROM recovery_case"), "the case")
    assert await town.fetchval("SELECT count(*) FROM recovery_case") == 1
    policy_steps = await until(lambda: town.fetchval("SELECT count(*) FROM attempt"), "the plan")
    assert policy_steps == 4


async def test_a_payment_that_arrives_while_a_worker_is_down_silences_the_message(town):
    await town.start("api")
    worker = await town.start("work")
    assert await town.post(failed_payment("pi_p", phone="+442079460188")) == 200
    await until(lambda: town.fetchval("SELECT count(*) FROM recovery_case"), "the case")
    worker.kill()
    await worker.wait()
    # Whatever is still planned is due now; the payment is in the inbox before any worker lives.
    assert await town.post(succeeded_payment("pi_p")) == 200
    sent = len(town.texts())
    connection_sql = "UPDATE attempt SET due_at = now(), state = 'planned', lease_until = NULL WHERE state = 'planned'"
    await town.fetch(connection_sql)
    await town.start("work")
    await until(
        lambda: town.fetchval("SELECT count(*) FROM recovery_case WHERE state = 'recovered'"),
        "the case to be recovered",
    )
    # What the gate held in its hands at that moment may have been put off until tomorrow: then it is refused.
    await town.fetch(connection_sql)
    none_left = "SELECT count(*) = 0 FROM attempt WHERE state = 'planned'"
    await until(lambda: town.fetchval(none_left), "everything planned to be taken back")
    assert len(town.texts()) == sent


async def test_postgres_killed_under_load_keeps_everything_that_was_acknowledged(tmp_path):
    with open_folder() as folder:
        postgres = EmbeddedPostgres(folder / "data")
        url = await asyncio.to_thread(postgres.start)
        try:
            await db.migrate(url)
            async with open_town(url, tmp_path) as town:
                await town.start("api")
                await town.start("work")
                acknowledged: set[str] = set()
                stop = asyncio.Event()

                async def sender(number):
                    for serial in range(4000):
                        transaction = f"pi_{number}_{serial}"
                        if await town.post(failed_payment(transaction, email=f"{transaction}@example.org")) == 200:
                            acknowledged.add(f"evt_{transaction}_failed")
                        if stop.is_set():
                            return
                        await asyncio.sleep(0.15)  # a load, not a flood: the worker has to read it all in the end

                senders = [asyncio.create_task(sender(number)) for number in range(8)]
                # A worker that finds no database when it starts ends, and whoever started it starts it again; here
                # nobody does, so the database is killed only under one that runs.
                await until(
                    lambda: town.fetchval("SELECT count(*) FROM inbox WHERE state = 'read'"), "the first reading"
                )
                for _ in range(2):
                    before = len(acknowledged)
                    await until(lambda before=before: len(acknowledged) > before + 100, "some load")
                    _kill_postmaster(folder / "data")
                    await asyncio.to_thread(postgres.start)
                before = len(acknowledged)
                await until(lambda before=before: len(acknowledged) > before + 50, "service to go on")
                stop.set()
                await asyncio.gather(*senders)
                stored = {row["event_id"] for row in await town.fetch("SELECT event_id FROM inbox")}
                assert acknowledged <= stored
                await until(
                    lambda: town.fetchval("SELECT count(*) = 0 FROM inbox WHERE state = 'unread'"),
                    "the worker to read on after the database came back",
                )
                repeated = await town.fetchval(
                    "SELECT count(*) FROM (SELECT transaction_id FROM recovery_case GROUP BY 1 HAVING count(*) > 1) x"
                )
                assert repeated == 0
        finally:
            await asyncio.to_thread(postgres.stop)


def _kill_postmaster(data_dir):
    pid_file = next(data_dir.rglob("postmaster.pid"))
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
