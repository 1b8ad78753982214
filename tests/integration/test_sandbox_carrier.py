"""The simulated carrier, as the product, a visitor and a test see it: real HTTP on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
import pytest_asyncio

from support.sandbox_world import ACCOUNT, ADA, BEN, FROM, TOKEN, World, open_world
from tenderline_sandbox.faults import FaultError, FaultSwitches

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing_world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def world(standing_world: World) -> AsyncIterator[World]:
    yield standing_world
    await standing_world.clear()


# --- sending ---------------------------------------------------------------------------------------------------------


async def test_an_accepted_message_is_answered_in_the_vendors_shape(world: World) -> None:
    status, message = await world.send(body="Grüße")
    assert status == 201
    assert re.fullmatch("SM[0-9a-f]{32}", message["sid"])
    assert (message["status"], message["num_segments"], message["direction"]) == ("queued", "1", "outbound-api")
    assert (message["to"], message["from"], message["body"]) == (ADA, FROM, "Grüße")
    assert abs((datetime.now(UTC) - parsedate_to_datetime(message["date_created"])).total_seconds()) < 10
    assert message["date_sent"] is None
    assert message["error_code"] is None
    assert message["uri"] == f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{message['sid']}.json"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "12025550143"}, 21211),
        ({"To": "+15005550001"}, 21211),
        ({"To": "+15005550009"}, 21614),
        ({"From": ""}, 21603),
        ({"From": "Harbour"}, 21212),
        ({"From": "+15005550007"}, 21606),
        ({"MessagingServiceSid": "MG" + "9" * 32}, 21705),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"StatusCallback": "javascript:alert(1)"}, 21609),
    ],
)
async def test_a_wrong_request_gets_the_vendors_error_number(world: World, form: dict[str, str], code: int) -> None:
    status, error = await world.send(
        **{"to" if k == "To" else "body" if k == "Body" else k: v for k, v in form.items()}
    )
    assert (status, error["status"], error["code"]) == (400, 400, code)
    assert error["more_info"].endswith(str(code))
    assert not world.sandbox.carrier.messages


async def test_a_wrong_token_is_refused_and_a_foreign_account_is_not_found(world: World) -> None:
    async with world.http.get(world.api + ".json") as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, 20003)
    wrong = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, "guess")}
    assert (await world.call("GET", world.api + ".json", headers=wrong))[0] == 401
    status, error = await world.call("GET", world.api.replace("AC1", "AC2") + ".json")
    assert (status, error["code"]) == (404, 20404)


async def test_the_doctor_reads_an_active_account(world: World) -> None:
    status, account = await world.call("GET", world.api + ".json")
    assert (status, account["sid"], account["status"]) == (200, ACCOUNT, "active")


async def test_a_messaging_service_picks_the_number_after_the_message_is_accepted(world: World) -> None:
    service = world.sandbox.settings.messaging_service_sid
    status, message = await world.send(From="", MessagingServiceSid=service)
    assert (status, message["status"], message["from"]) == (201, "accepted", None)
    await world.settled()
    _, later = await world.call("GET", f"{world.api}/Messages/{message['sid']}.json")
    assert (later["status"], later["from"]) == ("delivered", FROM)
    assert {hook.form["MessagingServiceSid"] for hook in world.product.hooks} == {service}


# --- what becomes of a message ---------------------------------------------------------------------------------------


async def test_every_state_is_told_in_order_and_signed_over_the_exact_address(world: World) -> None:
    _, message = await world.send()
    await world.settled()
    assert world.product.told(message["sid"]) == ["queued", "sent", "delivered"]
    for hook in world.product.hooks:
        assert hook.url == world.receipts
        assert hook.is_signed()
        assert not hook.is_signed("another token")
        assert hook.form["SmsSid"] == message["sid"]
        assert (hook.form["To"], hook.form["From"], hook.form["AccountSid"]) == (ADA, FROM, ACCOUNT)
        assert hook.form["ApiVersion"] == "2010-04-01"
        assert "ErrorCode" not in hook.form


@pytest.mark.parametrize(
    ("outcome", "told", "code"),
    [
        ("undelivered:30003", ["queued", "sent", "undelivered"], "30003"),
        ("dead", ["queued", "sent", "undelivered"], "30005"),
        ("failed:30008", ["queued", "failed"], "30008"),
        ("sent", ["queued", "sent"], None),
    ],
)
async def test_a_number_ends_as_it_was_set_to_end(
    world: World, outcome: str, told: list[str], code: str | None
) -> None:
    await world.control("POST", "/control/carrier/outcome", number=ADA, outcome=outcome)
    _, message = await world.send()
    await world.settled()
    assert world.product.told(message["sid"]) == told
    assert world.product.hooks[-1].form.get("ErrorCode") == code
    _, later = await world.call("GET", f"{world.api}/Messages/{message['sid']}.json")
    assert later["error_code"] == (int(code) if code else None)


async def test_a_callback_that_the_product_could_not_take_is_tried_once_more(world: World) -> None:
    world.product.statuses = [503]
    _, message = await world.send()
    await world.settled()
    assert world.product.told(message["sid"]) == ["queued", "queued", "sent", "delivered"]
    first, second = world.product.hooks[:2]
    assert first.headers["I-Twilio-Idempotency-Token"] == second.headers["I-Twilio-Idempotency-Token"]


async def test_a_callback_that_the_product_refuses_is_not_repeated(world: World) -> None:
    world.product.statuses = [403]
    _, message = await world.send()
    await world.settled()
    assert world.product.told(message["sid"]) == ["queued", "sent", "delivered"]


async def test_without_a_callback_address_nothing_is_posted(world: World) -> None:
    _, message = await world.send(StatusCallback="")
    await world.settled()
    _, later = await world.call("GET", f"{world.api}/Messages/{message['sid']}.json")
    assert later["status"] == "delivered"
    assert not world.product.hooks


# --- finding and listing ---------------------------------------------------------------------------------------------


async def test_a_list_is_narrowed_by_number_and_day_and_newest_comes_first(world: World) -> None:
    sids = [(await world.send(to=to, body=str(n)))[1]["sid"] for n, to in enumerate([ADA, BEN, ADA])]
    await world.settled()
    today = f"{datetime.now(UTC):%Y-%m-%d}"

    async def listed(query: str) -> list[str]:
        status, answer = await world.call("GET", f"{world.api}/Messages.json?{query}")
        assert status == 200
        return [message["sid"] for message in answer["messages"]]

    mine = [sids[2], sids[0]]
    ada = ADA.replace("+", "%2B")
    assert await listed("") == sids[::-1]
    assert await listed(f"To={ada}") == mine
    assert await listed(f"To={ada}&From=%2B19999999999") == []
    assert await listed(f"To={ada}&DateSent={today}") == mine
    assert await listed(f"To={ada}&DateSent%3E={today}") == mine
    assert await listed(f"To={ada}&DateSent>={today}") == mine
    assert await listed(f"To={ada}&DateSent%3E={today}T00:00:00Z&DateSent%3C={today}") == mine
    assert await listed(f"To={ada}&DateSent%3E=2999-01-01") == []
    assert await listed(f"To={ada}&DateSent%3C=2001-01-01") == []


async def test_a_message_that_was_not_sent_yet_is_listed_by_no_date() -> None:
    async with open_world(callback_delay_ms=60_000) as world:
        await world.send()
        _, everything = await world.call("GET", f"{world.api}/Messages.json")
        _, dated = await world.call("GET", f"{world.api}/Messages.json?DateSent%3E=2001-01-01")
        assert (len(everything["messages"]), len(dated["messages"])) == (1, 0)


async def test_pages_do_not_shift_when_new_messages_come_in(world: World) -> None:
    sids = [(await world.send(body=str(n)))[1]["sid"] for n in range(5)]
    _, page = await world.call("GET", f"{world.api}/Messages.json?PageSize=2&To={ADA.replace('+', '%2B')}")
    seen = [message["sid"] for message in page["messages"]]
    await world.send(body="a late one")
    while page["next_page_uri"]:
        _, page = await world.call("GET", world.sandbox.url + page["next_page_uri"])
        seen += [message["sid"] for message in page["messages"]]
    assert seen == sids[::-1]


async def test_an_unknown_message_is_not_found_and_an_unreadable_filter_is_refused(world: World) -> None:
    status, error = await world.call("GET", f"{world.api}/Messages/SM{'0' * 32}.json")
    assert (status, error["code"]) == (404, 20404)
    for query in ("DateSent=yesterday", "PageSize=many", "PageToken=PA1"):
        assert (await world.call("GET", f"{world.api}/Messages.json?{query}"))[0] == 400


# --- bad days --------------------------------------------------------------------------------------------------------


async def test_a_busy_carrier_says_when_to_come_back_and_takes_nothing(world: World) -> None:
    await world.control("PUT", "/faults/carrier", rate_limit_next=1, retry_after_s=7)
    headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN)}
    form = {"To": ADA, "From": FROM, "Body": "Hello"}
    async with world.http.post(f"{world.api}/Messages.json", data=form, headers=headers) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert (await answer.json())["code"] == 20429
    assert not world.sandbox.carrier.messages
    assert (await world.send())[0] == 201


async def test_a_failure_before_does_nothing_and_one_after_has_sent_the_message(world: World) -> None:
    await world.control("PUT", "/faults/carrier", fail_before_next=1)
    assert (await world.send())[0] == 500
    assert not world.sandbox.carrier.messages
    await world.control("PUT", "/faults/carrier", fail_after_success_next=1)
    assert (await world.send(to="no number"))[0] == 400  # a refused request has no success to hide
    assert (await world.send())[0] == 500
    assert [message.to for message in world.sandbox.carrier.messages.values()] == [ADA]


async def test_a_cut_connection_leaves_the_message_sent_and_to_be_found(world: World) -> None:
    await world.control("PUT", "/faults/carrier", drop_after_success_next=1)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await world.send(body="did it go?")
    await world.settled()
    _, found = await world.call("GET", f"{world.api}/Messages.json?To={ADA.replace('+', '%2B')}")
    assert [message["body"] for message in found["messages"]] == ["did it go?"]
    assert world.product.told(found["messages"][0]["sid"])[-1] == "delivered"


async def test_a_late_answer_comes_after_the_message_went(world: World) -> None:
    await world.control("PUT", "/faults/carrier", latency_ms=1_000)
    impatient = aiohttp.ClientTimeout(total=0.2)
    with pytest.raises(TimeoutError):
        await world.call("GET", world.api + ".json", timeout=impatient)
    with pytest.raises(TimeoutError):
        await world.call(
            "POST", f"{world.api}/Messages.json", data={"To": ADA, "From": FROM, "Body": "x"}, timeout=impatient
        )
    assert len(world.sandbox.carrier.messages) == 1


async def test_callbacks_are_lost_and_doubled_on_demand(world: World) -> None:
    await world.control("PUT", "/faults/carrier", lose_callbacks_next=1, duplicate_callbacks_next=1)
    _, message = await world.send()
    await world.settled()
    assert world.product.told(message["sid"]) == ["sent", "sent", "delivered"]
    assert world.sandbox.faults["carrier"] == FaultSwitches()


async def test_a_switch_that_does_not_exist_is_named_with_the_nearest_one(world: World) -> None:
    for body, words in [
        ({"rate_limit": 1}, "'rate_limit_next'"),
        ({"latency_ms": -1}, "latency_ms takes a whole number from 0 to 60,000"),
        ({"latency_ms": True}, "latency_ms"),
        ({"latency_ms": 5, "fail_before_next": "3"}, "fail_before_next"),
    ]:
        async with world.http.put(f"{world.sandbox.url}/faults/carrier", json=body) as answer:
            assert answer.status == 422
            assert words in (await answer.json())["error"]
    assert world.sandbox.faults["carrier"] == FaultSwitches()
    async with world.http.get(f"{world.sandbox.url}/faults/weather") as answer:
        assert answer.status == 404
    with pytest.raises(FaultError):
        FaultSwitches().take("latency_ms")


# --- people ----------------------------------------------------------------------------------------------------------


async def test_a_reply_reaches_the_product_signed_and_its_answer_is_reported(world: World) -> None:
    answer = await world.control("POST", "/control/carrier/reply", **{"from": ADA, "to": FROM, "body": "STOP é&="})
    assert answer["product_status"] == 200
    (hook,) = world.product.hooks
    assert hook.url == f"{world.product.url}/webhooks/twilio"
    assert hook.is_signed()
    assert hook.form == {
        "MessageSid": answer["sid"],
        "SmsSid": answer["sid"],
        "SmsMessageSid": answer["sid"],
        "SmsStatus": "received",
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "From": ADA,
        "To": FROM,
        "Body": "STOP é&=",
        "NumMedia": "0",
        "NumSegments": "1",
    }
    _, message = await world.call("GET", f"{world.api}/Messages/{answer['sid']}.json")
    assert (message["direction"], message["status"], message["from"]) == ("inbound", "received", ADA)


async def test_a_stop_is_the_products_business_unless_the_carrier_is_told_to_keep_it(world: World) -> None:
    stop = {"from": ADA, "body": "stop"}
    await world.control("POST", "/control/carrier/reply", **stop)
    assert (await world.send())[0] == 201
    await world.control("PUT", "/control/carrier/settings", keeps_opt_outs=True)
    await world.control("POST", "/control/carrier/reply", **stop)
    status, error = await world.send()
    assert (status, error["code"]) == (400, 21610)
    await world.control("POST", "/control/carrier/reply", **{"from": ADA, "body": "START"})
    assert (await world.send())[0] == 201


async def test_a_reply_without_a_reachable_product_says_so() -> None:
    async with open_world(product_url="http://127.0.0.1:9") as world:
        answer = await world.control("POST", "/control/carrier/reply", **{"from": ADA, "body": "STOP"})
        assert (answer["product_status"], answer["error"]) == (None, "no connection")


async def test_the_control_lists_what_was_accepted_and_forgets_it_on_demand(world: World) -> None:
    await world.send(body="one")
    await world.send(to=BEN, body="two")
    await world.settled()
    everything = await world.control("GET", "/control/carrier/messages")
    assert (everything["count"], everything["by_status"], everything["pending"]) == (2, {"delivered": 2}, 0)
    (mine,) = (await world.control("GET", f"/control/carrier/messages?to={BEN.replace('+', '%2B')}"))["messages"]
    assert mine["body"] == "two"
    assert [callback["http_status"] for callback in mine["callbacks"]] == [200, 200, 200]
    await world.control("DELETE", "/control/carrier")
    assert (await world.control("GET", "/control/carrier/messages"))["count"] == 0


async def test_a_handset_shows_its_time_its_messages_and_what_became_of_them(world: World) -> None:
    await world.control("POST", "/control/carrier/handset", number=ADA, name="Ada", zone="America/New_York")
    await world.control("POST", "/control/carrier/outcome", number=BEN, outcome="dead")
    await world.send(body="Pay at https://harbour.example/p/x?a=1&b=2. <b>Now</b> javascript:alert(1)")
    await world.send(to=BEN)
    await world.settled()
    grid = await world.page("/handsets")
    assert "Ada" in grid
    assert '1<span class="unseen"> unread</span>' in grid
    page = await world.page("/handset/%2B12025550143")
    assert "America/New_York" in page
    assert 'href="https://harbour.example/p/x?a=1&amp;b=2"' in page
    assert "&lt;b&gt;Now&lt;/b&gt;" in page
    assert "javascript:alert(1)" in page
    assert 'href="javascript' not in page
    assert "Delivered" in page
    assert "unread" not in await world.page("/handsets")
    assert "Undelivered (30005)" in await world.page("/handset/%2B13125550188")


async def test_the_buttons_of_a_handset_work_without_a_script(world: World) -> None:
    await world.send(StatusCallback="")
    path = f"{world.sandbox.url}/handset/%2B12025550143"
    async with world.http.post(f"{path}/reply", data={"body": "STOP"}, allow_redirects=False) as answer:
        assert answer.status == 303
    assert world.product.hooks[-1].form["Body"] == "STOP"
    async with world.http.post(f"{path}/outcome", data={"outcome": "failed:30008"}) as answer:
        assert answer.status == 200
    assert world.sandbox.carrier.outcomes == {ADA: "failed:30008"}
    async with world.http.post(f"{path}/outcome", data={"outcome": "lost"}) as answer:
        assert answer.status == 422


async def test_an_open_page_is_told_when_to_look_again(world: World) -> None:
    live = re.search(r'data-live="([^"]+)"', await world.page("/handsets"))
    assert live
    address = world.sandbox.url + live.group(1).replace("&amp;", "&")
    async with world.http.get(address, headers={"Accept": "text/event-stream"}) as stream:
        await world.send()
        assert await asyncio.wait_for(stream.content.readline(), 20) == b"event: change\n"
