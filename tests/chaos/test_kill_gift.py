"""kill -9 of whoever takes part in a gift by telephone, at every step, whatever the gateway does meanwhile.

Then: one charge at most, every try ends or is shown as in doubt, and nobody is thanked before the money is COMPLETED.
The processes run the product's own steps; the bank is a server that speaks Stripe's protocol.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from support import bank_town, fatal_gift, processes, services
from tenderline.config import StripeSettings
from tenderline.core.events import PaymentSucceeded
from tenderline.desk import payments as shown_payments
from tenderline.gateways.stripe import Stripe
from tenderline.payments import telephone
from tenderline.store import captures, db
from tenderline.store.embedded import EmbeddedPostgres
from tenderline.store.inbox import Unread
from tenderline.worker import reactions, read

GOOD, REFUSED = "4242" * 4, "4" + "0" * 14 + "2"
VOICE_STEPS = ("begun", "intended", "prepared", "known", "charged", "answering", "waiting")
# An edge knows nothing of what it stores, and a child never charges: the ways of a gateway differ in what comes later,
# so they are gone through after one of the steps.
API_DEATHS = (
    ("storing", "ok"), ("stored", "ok"), ("stored", "decline"), ("stored", "500 after success"),
    ("stored", "duplicate webhook"), ("stored", "late webhook"),
)  # fmt: skip
CHILD_DEATHS = (
    ("ask_code", "ok"), ("asking", "decline"), ("made", "time-out after success"), ("made", "lost webhook"),
)  # fmt: skip
WORKER_STEPS = ("read:reading", "read:read", "reconcile:asking", "reconcile:asked", "reconcile:closing")
FAULTS = {"time-out after success": "drop_after_success_next", "500 after success": "fail_after_success_next"}
GATEWAYS = ("ok", "decline", *FAULTS, "duplicate webhook", "late webhook", "lost webhook")
BEFORE_THE_CHARGE = ("begun", "intended", "prepared", "known")
KILLED = -signal.SIGKILL
PATIENT = {"settles_s": 20.0}
"""For callers to whom news surely comes: a busy machine must not be too late for them."""


class Doomed:
    """The program whose children die, and what is heard of them."""

    def __init__(self, process, common):
        self._process, self._common = process, common
        self._numbers = itertools.count(1)
        self._waiting = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            said, pid, ended = self._waiting[told.pop("task")]
            if "said" in told:
                said.append(told["said"])
            elif "pid" in told:
                pid.set_result(told["pid"])
            else:
                ended.set_result(told["ended"])

    async def start(self, role, step="", **more):
        """(what it says, its pid, its end to be awaited)."""
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        heard = self._waiting[number] = ([], loop.create_future(), loop.create_future())
        task = {"task": number, "role": role, "step": step, **self._common, **more}
        self._process.stdin.write((json.dumps(task) + "\n").encode())
        return heard

    async def run(self, role, step="", **more):
        """(what it said, how it ended)."""
        said, _, ended = await self.start(role, step, **more)
        return said, await asyncio.wait_for(ended, 30)

    def close(self):
        self._reading.cancel()


@asynccontextmanager
async def doomed(town, database_url):
    tests = Path(fatal_gift.__file__).parents[1]
    source = Path(telephone.__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "support.fatal_gift", cwd=tests, env={**os.environ, "PYTHONPATH": f"{source}:{tests}"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    made = Doomed(process, {"database": database_url, "bank": town.url, "api_key": bank_town.API_KEY})
    try:
        yield made
    finally:
        made.close()
        process.kill()
        await process.wait()


@pytest.fixture
async def town():
    async with bank_town.open_town() as opened:
        make_the_charge_fail(opened)
        yield opened


def make_the_charge_fail(town):
    """The bank's faults strike the confirmation alone, once it was carried out; `strike_child` before and after a token
    is made."""
    town.fault = town.strike_child = None
    api = town.bank._api
    carry_out = api._carry_out

    async def then_fail(request):
        strike = town.strike_child if request.path.endswith("/payment_methods") else None
        if strike is not None:
            strike("asking")
        answer = await carry_out(request)
        if strike is not None:
            strike("made")
        if request.path.endswith("/confirm") and town.fault is not None:
            setattr(town.bank.faults(), town.fault, 1)
            town.fault = None
        return answer

    api._carry_out = then_fail


class Gift:
    """One scenario: a caller, her card, a gateway's day."""

    numbers = itertools.count(1)

    def __init__(self, town, pool, gateway):
        self.town, self.pool, self.gateway = town, pool, gateway
        self.caller = f"+1202555{next(self.numbers):04d}"
        self.before = len(town.product.hooks)
        self._vendor = Stripe(
            StripeSettings(api_key=SecretStr(bank_town.API_KEY), api_url=town.url, timeout_s=fatal_gift.TIMEOUT_S)
        )
        self.made = services.make(pool, gateways=[self._vendor], messengers=[services.message_class("sms")])

    def number(self):
        """Its digits; the bank has a bad day from now on, if it is to have one."""
        self.town.fault = FAULTS.get(self.gateway)
        return REFUSED if self.gateway == "decline" else GOOD

    async def card(self):
        """Its token; from now on it is as with `number`."""
        form = {
            "type": "card",
            "card[number]": self.number(),
            "card[exp_month]": "12",
            "card[exp_year]": "2030",
            "card[cvc]": "123",
        }
        headers = {"Authorization": f"Bearer {bank_town.API_KEY}"}
        async with self.town.http.post(f"{self.town.url}/v1/payment_methods", data=form, headers=headers) as answer:
            return (await answer.json())["id"]

    def hooks(self):
        return [one.body for one in self.town.product.hooks[self.before :]]

    async def hear(self, *, late=False):
        """The bank's webhooks are read, as often and as late as this gateway has it."""
        if self.gateway == "lost webhook" or (self.gateway == "late webhook") is not late:
            return
        for body in self.hooks() * (2 if self.gateway == "duplicate webhook" else 1):
            async with self.pool.acquire() as connection, connection.transaction():
                unread = Unread(
                    id=1, source="stripe", event_id="e", event_type="t", body=body, received_at=None, tries=0
                )
                await read.handle_webhook(self.made, connection, unread)

    async def is_told(self):
        """What was confirmed at the bank is told by its webhook."""
        intents = await self.charges_at_bank()
        await bank_town.until(
            lambda: all(any(one.encode() in body for body in self.hooks()) for one in intents), "the bank's news"
        )

    async def is_told_of(self):
        """The bank told what became of the try, whatever it was."""
        await self.is_told()
        await bank_town.until(self.hooks, "the bank's news of the try")

    async def charges_at_bank(self):
        """Ids of what the bank took for this gift."""
        rows = await self.pool.fetch(
            "SELECT c.transaction_id FROM charge c JOIN capture_session s ON s.id = c.session_id JOIN contact_point q"
            " ON q.id = s.contact_point_id WHERE q.value = $1 AND c.transaction_id IS NOT NULL",
            self.caller,
        )
        found = [await self.town.sdk.v1.payment_intents.retrieve_async(transaction_id) for (transaction_id,) in rows]
        return [one.id for one in found if one.status == "succeeded"]

    async def reconcile(self):
        """As the worker does after its waits."""
        async with self.pool.acquire() as connection:
            found = await captures.in_doubt(connection, older_than_s=-1, limit=50)
            found += await captures.unsettled(connection, older_than_s=-1, limit=50)
        for one in found:
            await telephone.reconcile(self.made, one)

    async def ends(self):
        """Everything that comes by itself after a death: webhooks, the worker's questions, late webhooks."""
        await self.is_told()
        await self.hear()
        for _ in range(2):
            await self.reconcile()
        await self.hear(late=True)

    async def holds(self, said, *, charged):
        """What must be true, whatever happened."""
        taken = await self.charges_at_bank()
        assert len(taken) == charged, "charged"
        rows = await self.pool.fetch(
            "SELECT c.state, y.transaction_status AS status, y.id AS payment_id FROM capture_session s"
            " JOIN contact_point q ON q.id = s.contact_point_id LEFT JOIN charge c ON c.session_id = s.id"
            " LEFT JOIN payment y ON y.transaction_id = c.transaction_id WHERE q.value = $1",
            self.caller,
        )
        tries = [(row["state"], row["status"]) for row in rows if row["state"] is not None]
        assert len(tries) <= 1
        assert all(state in ("taken", "declined", "refused") for state, _ in tries), tries
        assert [status for state, status in tries if state == "taken"] == ["COMPLETED"] * charged, tries
        assert "completed" not in said or charged, "thanked for nothing"
        for payment_id in {row["payment_id"] for row in rows if row["status"] == "COMPLETED"}:
            await reactions.thank_caller(self.made, PaymentSucceeded(payment_id=payment_id, amount="$25.00"))
        await self._vendor.close()


async def fails_as_it_should(gift, run):
    """(name, error) of a scenario."""
    try:
        await run()
    except (AssertionError, TimeoutError) as error:
        return f"{gift}: {error!r}"
    return None


async def test_a_voice_process_killed_at_any_step_charges_once_at_most_whatever_the_gateway_does(
    town, pool, database_url
):
    failed = []
    async with doomed(town, database_url) as program:
        for step, gateway in itertools.product(VOICE_STEPS, GATEWAYS):
            gift = Gift(town, pool, gateway)

            async def run(gift=gift, step=step, gateway=gateway):
                said, ended = await program.run("voice", step, token=await gift.card(), caller=gift.caller)
                never_waits = step == "waiting" and gateway == "decline"
                assert ended == (0 if never_waits else KILLED), f"ended with {ended}"
                await in_doubt_is_shown(gift, step)
                await gift.ends()
                was_charged = step not in BEFORE_THE_CHARGE and gateway != "decline"
                await gift.holds(said, charged=int(was_charged))

            if failure := await fails_as_it_should(f"{step} x {gateway}", run):
                failed.append(failure)
    assert failed == []


async def in_doubt_is_shown(gift, step):
    """A try that nobody has answered for is on the page of payments, as in doubt, until it is known."""
    async with gift.pool.acquire() as connection:
        unanswered = await captures.in_doubt(connection, older_than_s=-1, limit=50)
        lines = {one.id: one for one in await shown_payments.read(connection)}
    assert all(lines[one.session_id].in_doubt for one in unanswered), f"not shown as in doubt after {step}"


async def test_a_worker_killed_at_any_step_forgets_no_money_and_takes_none_twice(town, pool, database_url):
    failed = []
    async with doomed(town, database_url) as program:
        for step, gateway in itertools.product(WORKER_STEPS, GATEWAYS):
            gift = Gift(town, pool, gateway)

            async def run(gift=gift, step=step, gateway=gateway):
                said, _, over = await program.start("voice", token=await gift.card(), caller=gift.caller, **PATIENT)
                await until_tried(gift, over)
                await gift.is_told_of()
                role, point = step.split(":")
                bodies = [body.decode() for body in gift.hooks()]
                _, ended = await program.run(role, point, bodies=bodies)
                if role == "read":
                    assert ended == KILLED, f"ended with {ended}"
                await gift.ends()
                await asyncio.wait_for(over, 30)
                await gift.holds(said, charged=int(gateway != "decline"))
                if gateway not in ("decline", "late webhook", "lost webhook"):
                    assert said == ["charged", "completed"], said

            if failure := await fails_as_it_should(f"{step} x {gateway}", run):
                failed.append(failure)
    assert failed == []


async def until_tried(gift, over):
    """The gateway has answered, or will not."""
    for _ in range(1_500):
        state = await gift.pool.fetchval(
            "SELECT c.state FROM charge c JOIN capture_session s ON s.id = c.session_id JOIN contact_point q"
            " ON q.id = s.contact_point_id WHERE q.value = $1",
            gift.caller,
        )
        if over.done() or state in ("taken", "declined", "unknown", "refused"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was tried")


async def test_an_api_process_killed_while_it_takes_the_news_loses_none_of_it(town, pool, database_url):
    failed = []
    async with doomed(town, database_url) as program:
        for step, gateway in API_DEATHS:
            gift = Gift(town, pool, gateway)

            async def run(gift=gift, step=step, gateway=gateway):
                said, _, over = await program.start("voice", token=await gift.card(), caller=gift.caller, **PATIENT)
                await until_tried(gift, over)
                if gateway == "late webhook":
                    await gift.reconcile()
                await the_news_is_posted_until_it_is_taken(gift, program, step)
                await gift.reconcile()
                await asyncio.wait_for(over, 30)
                await gift.holds(said, charged=int(gateway != "decline"))
                if gateway not in ("decline", "late webhook"):
                    assert said == ["charged", "completed"], said

            if failure := await fails_as_it_should(f"{step} x {gateway}", run):
                failed.append(failure)
    assert failed == []


async def the_news_is_posted_until_it_is_taken(gift, program, step):
    """The edge dies before it answers, so the bank posts the same again to the next one; the worker reads it once."""
    await gift.is_told_of()
    hooks = [(hook.body.decode(), hook.signature) for hook in gift.town.product.hooks[gift.before :]]
    assert await program.run("api", step, hooks=hooks[:1]) == ([], KILLED)
    hooks *= 2 if gift.gateway == "duplicate webhook" else 1
    assert await program.run("api", hooks=hooks) == (["200"] * len(hooks), 0)
    await read.read_some(gift.made)
    stored = await gift.pool.fetch("SELECT state FROM inbox")
    assert {row["state"] for row in stored} == {"read"}


async def test_a_card_child_that_is_killed_charges_nothing_and_the_next_call_is_like_any_other(
    town, pool, database_url
):
    failed = []
    async with doomed(town, database_url) as program:
        for step, gateway in CHILD_DEATHS:
            gift = Gift(town, pool, gateway)

            async def run(gift=gift, step=step, gateway=gateway):
                await the_child_dies(gift, program, step)
                said, _, over = await program.start("voice", number=gift.number(), caller=gift.caller, **PATIENT)
                await until_tried(gift, over)
                await gift.ends()
                assert await asyncio.wait_for(over, 30) == 0
                await gift.holds(said, charged=int(gateway != "decline"))
                if gateway not in ("decline", "late webhook", "lost webhook"):
                    assert said[1:] == ["charged", "completed"], said

            if failure := await fails_as_it_should(f"{step} x {gateway}", run):
                failed.append(failure)
    assert failed == []


async def the_child_dies(gift, program, step):
    """Its call goes on without a card, and nobody tries to charge the token that may have been made."""
    more = {} if step in ("asking", "made") else {"dies_at": step}
    said, _, over = await program.start("voice", number=gift.number(), caller=gift.caller, **more)

    def strike(now):
        if now == step:
            gift.town.strike_child = None
            os.kill(int(said[0].removeprefix("room ")), signal.SIGKILL)

    gift.town.strike_child = strike if not more else None
    assert await asyncio.wait_for(over, 30) == 0
    assert said[1:] == ["system_problem"], said
    assert gift.town.strike_child is None
    tries = await gift.pool.fetchval(
        "SELECT count(*) FROM charge c JOIN capture_session s ON s.id = c.session_id JOIN contact_point q"
        " ON q.id = s.contact_point_id WHERE q.value = $1",
        gift.caller,
    )
    assert tries == 0


async def test_a_database_killed_at_any_step_charges_once_at_most(town):
    with processes.open_folder() as folder:
        server = EmbeddedPostgres(folder)  # durable: what it has committed it keeps
        await asyncio.to_thread(server.start)
        try:
            await db.migrate(server.url)
            await asyncio.wait_for(_database_deaths(town, server, folder), 120)
        finally:
            await asyncio.to_thread(server.stop)


async def _database_deaths(town, server, folder):
    async with doomed(town, server.url) as program:
        for step in VOICE_STEPS:
            async with db.open_pool(server.url, size_max=2) as pool:
                token = await Gift(town, pool, "ok").card()
            caller = f"+1202555{next(Gift.numbers):04d}"
            said, pid, over = await program.start("voice", step, token=token, caller=caller, stops=True)
            stopped = await pid
            await asyncio.to_thread(processes.eventually, lambda one=stopped: processes.state(one) == "T", "the stop")
            os.kill(processes.postmaster_pid(folder), signal.SIGKILL)
            await asyncio.to_thread(server.start)
            os.kill(stopped, signal.SIGCONT)
            await asyncio.wait_for(over, 40)
            async with db.open_pool(server.url, size_max=2) as pool:
                gift = Gift(town, pool, "ok")
                gift.caller, gift.before = caller, 0
                await gift.ends()
                charged = len(await gift.charges_at_bank())
                assert charged <= 1
                assert charged or step not in ("charged", "answering", "waiting")
                await gift.holds(said, charged=charged)
