"""The webhook route against bad input: each a clear refusal, nothing stored, no 5xx, and nobody blocks the others."""

import asyncio
import json

import pytest

from support.product import SECRET, event, failed_payment, open_town

CARD = "4242424242" + "424242"


@pytest.fixture
async def town(database_url, tmp_path):
    tmp_path.chmod(0o755)
    async with open_town(database_url, tmp_path) as opened:
        await opened.start("api")
        yield opened


async def stored(town):
    return await town.fetchval("SELECT count(*) FROM inbox")


async def raw(town, data, *, wait_s=20):
    """Bytes on a socket, and what came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", town.ports[0])
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(4000), wait_s)
    finally:
        writer.close()


async def test_duplicates_and_unknown_kinds_are_acknowledged_and_kept_once(town):
    unknown = event("evt_u", "some.future.kind", {"id": "x"})
    assert [await town.post(unknown) for _ in range(3)] == [200, 200, 200]
    assert await stored(town) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not json", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"id": 5, "type": "x"}', 400),
        (b"\xff\xfe\x00", 400),
        (b'{"id":"evt_\\u0000","type":"x","data":{"object":{}}}', 400),
        (event("evt_c", "charge.failed", {"id": "ch_1", "card": CARD}), 422),
        (
            event(
                "evt_c", "charge.failed", {"id": "ch_1", "note": " ".join(CARD[at : at + 4] for at in (0, 4, 8, 12))}
            ),
            422,
        ),
        (event("evt_c", "charge.failed", {"id": "ch_1", "card": int(CARD)}), 422),
        (b"x" * (256 * 1024 + 1), 413),
    ],
)
async def test_a_signed_body_that_cannot_be_kept_is_refused_and_not_stored(town, body, status):
    assert await town.post(body) == status
    assert await stored(town) == 0


async def test_forged_and_headerless_webhooks_are_refused_counted_and_not_stored(town):
    body = failed_payment("pi_1", email="a@example.org")
    assert await town.post(body, secret="whsec_of_somebody_else") == 400
    url = f"http://127.0.0.1:{town.ports[0]}/webhooks/stripe"
    for headers in ({}, {"Stripe-Signature": "t=1,v1=x"}, {"Stripe-Signature": "t=é,v1=ü"}, {"Stripe-Signature": ""}):
        async with town.http.post(url, data=body, headers=headers) as response:
            problem = json.loads(await response.text())
            assert response.status == 400
            assert problem["code"].startswith("webhook.")
            assert problem["detail"]
    async with town.http.post(f"http://127.0.0.1:{town.ports[0]}/webhooks/nobody", data=body) as response:
        assert response.status == 404
    async with town.http.get(url) as response:
        assert response.status == 405
    assert await stored(town) == 0

    async def counted():
        return await town.fetchval("SELECT sum(value) FROM counter WHERE name LIKE 'webhook.stripe.webhook.%'") or 0

    from support.product import until

    await until(lambda: _at_least(counted, 5), "the refusals to be counted")


async def _at_least(counted, number):
    return await counted() >= number


async def test_a_rotated_secret_keeps_both_alive(database_url, tmp_path):
    tmp_path.chmod(0o755)
    secrets = {"STRIPE__WEBHOOK_SECRETS": f"{SECRET},whsec_the_new_one"}
    async with open_town(database_url, tmp_path, **secrets) as town:
        await town.start("api")
        first, second = (event(f"evt_{name}", "some.kind", {"id": name}) for name in "ab")
        assert await town.post(first) == 200
        assert await town.post(second, secret="whsec_the_new_one") == 200


async def test_a_body_larger_than_it_says_or_of_ten_megabytes_is_refused_early(town):
    head = b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=0\r\n"
    answer = await raw(town, head + b"Content-Length: 10000000\r\n\r\n" + b"x" * 1000)
    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    chunks = b"".join(b"10000\r\n" + b"y" * 0x10000 + b"\r\n" for _ in range(5))
    answer = await raw(town, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    assert await stored(town) == 0


async def test_slow_clients_are_let_go_and_hold_nobody_up(town):
    head = b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=0\r\nContent-Length: 100\r\n\r\nabc"
    slow = [asyncio.create_task(raw(town, head, wait_s=30)) for _ in range(50)]
    assert await town.post(failed_payment("pi_2", email="b@example.org")) == 200
    answers = await asyncio.gather(*slow)
    assert all(b" 408 " in answer.split(b"\r\n", 1)[0] for answer in answers)


async def test_nothing_of_a_refused_card_reaches_the_database_or_the_log(town):
    assert await town.post(event("evt_c", "charge.failed", {"id": "ch_1", "card": CARD})) == 422
    tables = await town.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        dump = await town.fetchval(f"SELECT string_agg(t::text, ' ') FROM {table['relname']} t")
        assert CARD not in (dump or "")
