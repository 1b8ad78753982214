"""The simulated bank as the product's official SDK and a payer's browser see it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import stripe
from aiohttp import web

from support.bank_town import API_KEY, Town, open_town, serve, settings, until
from tenderline_sandbox import bank_process
from tenderline_sandbox.bank import Bank
from tenderline_sandbox.bank_idempotency import IdempotencyKeys
from tenderline_sandbox.bank_ledger import Bounded
from tenderline_sandbox.bank_process import Localstripe
from tenderline_sandbox.bank_wire import Answer, BankError, read_form

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing_town() -> AsyncIterator[Town]:
    async with open_town() as standing:
        yield standing


@pytest_asyncio.fixture(loop_scope="module")
async def town(standing_town: Town) -> AsyncIterator[Town]:
    yield standing_town
    await standing_town.clear()


# --- the API ---------------------------------------------------------------------------------------------------------


async def test_the_sdk_reads_the_customer_that_it_created(town: Town) -> None:
    made = await town.sdk.v1.customers.create_async({"name": "Ada", "phone": "+12025550143", "metadata": {"crm": "7"}})
    read = await town.sdk.v1.customers.retrieve_async(made.id)
    assert (read.name, read.phone, read.metadata["crm"]) == ("Ada", "+12025550143", "7")


async def test_the_doctor_can_read_account_and_balance(town: Town) -> None:
    account = await town.sdk.v1.accounts.retrieve_current_async()
    assert account.charges_enabled
    assert (await town.sdk.v1.balance.retrieve_async()).available


async def test_another_key_is_refused_and_not_repeated(town: Town) -> None:
    async with town.http.get(
        f"{town.url}/v1/account", headers={"Authorization": "Bearer sk_test_something_else"}
    ) as no:
        told = await no.text()
    assert no.status == 401
    assert "something_else" not in told


async def test_an_unknown_object_is_a_missing_resource_in_stripes_words(town: Town) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await town.sdk.v1.customers.retrieve_async("cus_nobody")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert caught.value.request_id


async def test_a_declined_card_is_a_card_error(town: Town) -> None:
    with pytest.raises(stripe.CardError) as caught:
        await town.sdk.v1.payment_intents.create_async(
            {"amount": 500, "currency": "usd", "payment_method": "pm_card_chargeCustomerFail", "confirm": True}
        )
    assert caught.value.json_body["error"]["type"] == "card_error"


async def test_a_rate_limited_request_says_when_to_come_back_and_does_nothing(town: Town) -> None:
    town.bank.faults().update({"rate_limit_next": 1, "retry_after_s": 7})
    with pytest.raises(stripe.RateLimitError) as caught:
        await town.sdk.v1.customers.create_async({"name": "Nobody"})
    assert caught.value.headers["retry-after"] == "7"
    assert (await town.sdk.v1.customers.list_async()).data == []


async def test_a_request_that_failed_after_the_deed_is_answered_under_its_key(town: Town) -> None:
    town.bank.faults().update({"fail_after_success_next": 1})
    options: Any = {"idempotency_key": "once"}
    with pytest.raises(stripe.APIError) as caught:
        await town.sdk.v1.customers.create_async({"name": "Ada"}, options)
    assert caught.value.http_status == 500
    again = await town.sdk.v1.customers.create_async({"name": "Ada"}, options)
    assert [customer.id for customer in (await town.sdk.v1.customers.list_async()).data] == [again.id]
    assert again.last_response.headers["idempotent-replayed"] == "true"


async def test_a_connection_cut_after_the_deed_leaves_the_deed_done(town: Town) -> None:
    town.bank.faults().update({"drop_after_success_next": 1})
    with pytest.raises(stripe.APIConnectionError):
        await town.sdk.v1.customers.create_async({"name": "Ada"})
    assert len((await town.sdk.v1.customers.list_async()).data) == 1


async def test_a_failure_before_the_deed_leaves_it_undone(town: Town) -> None:
    town.bank.faults().update({"fail_before_next": 1})
    with pytest.raises(stripe.APIError):
        await town.sdk.v1.customers.create_async({"name": "Ada"})
    assert (await town.sdk.v1.customers.list_async()).data == []


async def test_latency_is_added_to_every_answer(town: Town) -> None:
    town.bank.faults().update({"latency_ms": 120})
    began = time.monotonic()
    await town.sdk.v1.accounts.retrieve_current_async()
    assert time.monotonic() - began >= 0.12


async def test_the_same_key_with_other_parameters_is_refused(town: Town) -> None:
    first = await town.sdk.v1.customers.create_async({"name": "Ada"}, {"idempotency_key": "k"})
    same = await town.sdk.v1.customers.create_async({"name": "Ada"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError):
        await town.sdk.v1.customers.create_async({"name": "Bob"}, {"idempotency_key": "k"})
    assert first.id == same.id


async def test_a_decline_is_the_answer_of_its_key_for_good_and_a_mistake_is_not(town: Town) -> None:
    declined: Any = {"amount": 500, "currency": "usd", "payment_method": "pm_card_chargeCustomerFail", "confirm": True}
    charges = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            await town.sdk.v1.payment_intents.create_async(declined, {"idempotency_key": "d"})
        charges.append(caught.value.json_body["error"]["charge"])
    assert charges[0] == charges[1]
    with pytest.raises(stripe.InvalidRequestError):
        await town.sdk.v1.payment_intents.create_async({"amount": -1, "currency": "usd"}, {"idempotency_key": "m"})
    await town.sdk.v1.payment_intents.create_async({"amount": 1, "currency": "usd"}, {"idempotency_key": "m"})


async def test_a_key_in_use_is_a_conflict_and_a_crash_frees_it() -> None:
    keys, gate = IdempotencyKeys(), asyncio.Event()

    async def slow() -> Answer:
        await gate.wait()
        return Answer.of({"id": 1})

    async def crash() -> Answer:
        raise OSError

    first = asyncio.create_task(keys.first_answer("k", "POST", "/v1/x", b"a=1", slow))
    await asyncio.sleep(0)
    with pytest.raises(BankError) as caught:
        await keys.first_answer("k", "POST", "/v1/x", b"a=1", slow)
    assert caught.value.status == 409
    gate.set()
    assert (await first).json() == {"id": 1}
    with pytest.raises(OSError):
        await keys.first_answer("c", "POST", "/v1/x", b"", crash)
    assert (await keys.first_answer("c", "POST", "/v1/x", b"", slow)).succeeded


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("a[0][b]=c&a[1][b]=d", {"a": [{"b": "c"}, {"b": "d"}]}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("metadata[x%5By]=1", {"metadata[x[y]": "1"}),
        ("m[k]=%E2%82%AC&n=", {"m": {"k": "€"}, "n": ""}),
    ],
)
async def test_bracketed_forms_become_objects_and_lists(form: str, expected: dict[str, Any]) -> None:
    if "%5By" in form:
        assert isinstance(read_form(form), dict)  # odd, but never an error of ours
    else:
        assert read_form(form) == expected


@pytest.mark.parametrize("form", ["a=1&a[b]=2", "a[b][c][d][e][f][g][h][i]=1", "a=%FF", "&".join(["a=1"] * 1_001)])
async def test_forms_that_make_no_sense_are_refused_politely(form: str) -> None:
    with pytest.raises(BankError) as caught:
        read_form(form)
    assert caught.value.status == 400


# --- checkout --------------------------------------------------------------------------------------------------------


async def test_a_checkout_session_is_created_read_and_expired(town: Town) -> None:
    made = await town.session(metadata={"debt": "d1"}, client_reference_id="r1", customer_email="ada@example.org")
    assert made.url == f"{town.url}/pay/{made.id}"
    assert (made.status, made.payment_status, made.amount_total, made.currency) == ("open", "unpaid", 5000, "usd")
    read = await town.sdk.v1.checkout.sessions.retrieve_async(made.id)
    assert (read.metadata["debt"], read.client_reference_id) == ("d1", "r1")
    assert (await town.sdk.v1.checkout.sessions.expire_async(made.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        await town.sdk.v1.checkout.sessions.expire_async(made.id)
    page = await (await town.http.get(made.url or f"{town.url}/pay/{made.id}")).text()
    assert "expired" in page
    assert await until(lambda: town.product.of("checkout.session.expired", made.id), "the news of it")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"success_url": ""}, "success_url"),
        ({"mode": "setup"}, "mode"),
        ({"line_items": []}, "line_items"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"expires_at": 5}, "expires_at"),
    ],
)
async def test_a_checkout_session_with_a_mistake_names_it(town: Town, wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await town.session(**wrong)
    assert caught.value.param == param


async def test_the_older_form_of_a_line_is_understood(town: Town) -> None:
    made = await town.session(line_items=[{"amount": 700, "currency": "eur", "name": "Tea", "quantity": 3}])
    assert (made.amount_total, made.currency) == (2100, "eur")


async def test_paying_moves_money_tells_the_product_and_returns_to_the_merchant(town: Town) -> None:
    customer = await town.sdk.v1.customers.create_async({"name": "Ada"})
    session = await town.session(payment_intent_data={"metadata": {"debt": "d2"}}, customer=customer.id)
    page = await (await town.http.get(session.url)).text()
    assert "$50.00" in page
    assert "Winter appeal" in page
    async with town.http.post(session.url, data={"card": "works"}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, f"http://127.0.0.1:9/thanks?s={session.id}")
    paid = await town.sdk.v1.checkout.sessions.retrieve_async(session.id)
    assert (paid.status, paid.payment_status) == ("complete", "paid")
    intent = await town.sdk.v1.payment_intents.retrieve_async(str(paid.payment_intent), {"expand": ["latest_charge"]})
    assert (intent.status, intent.amount, intent.metadata["debt"], intent.customer) == (
        "succeeded",
        5000,
        "d2",
        customer.id,
    )
    told = await until(lambda: town.product.of("payment_intent.succeeded", intent.id), "the Stripe server's own event")
    assert told[0].event["data"]["object"]["metadata"] == {"debt": "d2"}
    assert town.product.of("checkout.session.completed", session.id)
    found = await town.sdk.v1.payment_intents.search_async({"query": "metadata['debt']:'d2' AND status:'succeeded'"})
    assert [hit.id for hit in found.data] == [intent.id]


async def test_a_second_visit_and_a_second_press_find_it_paid(town: Town) -> None:
    session = await town.session()
    pressed = await asyncio.gather(*(town.control("pay", session=session.id, card="works") for _ in range(3)))
    assert sorted(press["already"] for press in pressed) == [False, True, True]
    assert len({press["payment_intent"] for press in pressed}) == 1
    assert "already been paid" in await (await town.http.get(session.url)).text()
    async with town.http.post(session.url, data={"card": "works"}, allow_redirects=False) as answer:
        assert answer.headers["Location"] == f"/pay/{session.id}"
    assert len((await town.sdk.v1.payment_intents.list_async()).data) == 1


async def test_a_declined_payer_is_told_why_and_can_try_another_card(town: Town) -> None:
    session = await town.session(payment_intent_data={"metadata": {"debt": "d3"}})
    async with town.http.post(session.url, data={"card": "insufficient_funds"}) as answer:
        assert "The card has insufficient funds." in await answer.text()
    failed = await until(lambda: town.product.of("charge.failed", "d3"), "the reason")
    charge = failed[0].event["data"]["object"]
    assert charge["outcome"]["reason"] == "insufficient_funds"
    heard = await until(
        lambda: town.product.of("payment_intent.payment_failed", charge["payment_intent"]), "the failure"
    )
    assert heard[0].event["data"]["object"]["metadata"] == {"debt": "d3"}
    assert (await town.control("pay", session=session.id, card="declined"))["decline_code"] == "generic_decline"
    assert (await town.control("pay", session=session.id, card="works"))["paid"]


async def test_a_pay_page_that_does_not_exist_says_so(town: Town) -> None:
    for unknown in ("cs_test_nothing", "in_nothing", "%3Cscript%3E"):
        async with town.http.get(f"{town.url}/pay/{unknown}") as answer:
            assert answer.status == 404
            assert "<script>" not in await answer.text()


# --- the process --------------------------------------------------------------------------------------------------


async def test_the_server_listens_on_this_machine_only_and_writes_no_file(town: Town) -> None:
    port = int(town.bank.server_url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0
    pickle = Path("/tmp/localstripe.pickle")
    before = pickle.stat().st_mtime_ns if pickle.exists() else None
    await town.sdk.v1.customers.create_async({"name": "Ada"})
    assert (pickle.stat().st_mtime_ns if pickle.exists() else None) == before


async def test_the_server_dies_with_whoever_started_it() -> None:
    program = (
        "import asyncio, os, signal\n"
        "from tenderline_sandbox.bank_process import Localstripe\n"
        "async def main():\n"
        "    server = Localstripe(0)\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    pid = int(out)
    assert process.returncode == -signal.SIGKILL

    def gone() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except FileNotFoundError:
            return True
        return state == "Z"  # dead, and waiting for whoever adopted it

    await until(gone, "the end of the orphan")


async def test_a_server_that_cannot_start_says_why_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_process, "_LAUNCHER", "import sys; sys.exit('no module named localstripe')")
    server = Localstripe(0)
    with pytest.raises(bank_process.BankProcessError, match="no module named localstripe"):
        await server.start()
    assert server.pid is None
    await server.stop()


async def test_a_dead_server_is_an_error_of_the_gateway_not_a_hang() -> None:
    bank = Bank(settings())
    await bank.start()
    app = web.Application()
    app.add_routes(bank.routes())
    runner, url = await serve(app)
    bank.public_url = url
    assert bank.server_pid is not None
    os.kill(bank.server_pid, signal.SIGKILL)
    await until(lambda: bank.server_pid is None, "its end")
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}/v1/customers/cus_1", headers={"Authorization": f"Bearer {API_KEY}"}) as answer:
            assert answer.status == 503
            assert (await answer.json())["error"]["type"] == "api_error"
        async with http.post(f"{url}/control/bank/customer", json={"name": "Ada"}) as answer:
            assert answer.status == 502
    await runner.cleanup()
    await bank.stop()
    await bank.stop()


async def test_a_bounded_table_forgets_its_oldest_entry() -> None:
    table: Bounded[int] = Bounded(2)
    for number in range(3):
        table.put(str(number), number)
    assert ("0" in table, list(table.newest())) == (False, [2, 1])
