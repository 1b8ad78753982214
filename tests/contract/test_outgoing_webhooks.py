"""One webhook over real TLS to a server that checks it by the specification, and to servers that mean harm."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from support import receiver as other
from support.receiver import NAME, Receiver, WrongSignature
from tenderline.config import WebhooksSettings
from tenderline.core import standard_webhooks
from tenderline.demo.stage import free_port
from tenderline.outgoing import addresses
from tenderline.outgoing import sender as sender_module
from tenderline.outgoing.addresses import AddressRefusedError
from tenderline.outgoing.sender import Answer, Sender

MESSAGE = UUID(int=5)
BODY = b'{"type":"contact.opted_out"}'
LOOPBACK = [ip_network("127.0.0.0/8")]


class Names:
    """A name server: what it says next of any host, and who asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        del port
        self.asked.append(host)
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return other.make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def server(certificate: Any) -> AsyncIterator[Receiver]:
    async with other.receiving(certificate[0]) as receiver:
        yield receiver


def made(certificate: Any, names: Names | None = None, **settings: Any) -> Sender:
    wanted = {"allowed_networks": LOOPBACK, "ca_file": certificate[1], "timeout_s": 10.0, **settings}
    return Sender(WebhooksSettings(**wanted), lookup=names or Names("127.0.0.1"))


async def post(sender: Sender, url: str, *secrets: str) -> Answer:
    keys = [standard_webhooks.key_of(one) for one in secrets or (standard_webhooks.new_secret(),)]
    headers = standard_webhooks.headers(MESSAGE, int(time.time()), BODY, keys)
    try:
        return await sender.post(url, headers, BODY)
    finally:
        await sender.close()


async def test_a_webhook_arrives_and_its_receiver_can_check_it(certificate, server):
    secret, names = standard_webhooks.new_secret(), Names("127.0.0.1")
    answer = await post(made(certificate, names), f"{server.url}?key=%2Fa", secret)
    assert answer == Answer(True, 200)
    (got,) = server.got
    assert got.body == BODY
    assert got.path == "/hooks?key=%2Fa"
    assert got.headers["host"] == f"{NAME}:{server.port}"
    assert got.headers["content-type"] == "application/json"
    assert server.ids(secret) == [standard_webhooks.message_name(MESSAGE)]
    assert names.asked == [NAME], "one look-up: the one that it connects by"


async def test_the_receiver_refuses_what_was_signed_with_another_secret_or_is_old(certificate, server):
    secret = standard_webhooks.new_secret()
    await post(made(certificate), server.url, secret)
    (got,) = server.got
    for wrong in (
        {"secret": standard_webhooks.new_secret(), "body": got.body},
        {"secret": secret, "body": got.body + b" "},
        {"secret": secret, "body": got.body, "now_s": time.time() + 301},
    ):
        with pytest.raises(WrongSignature):
            other.verify(headers=got.headers, **wrong)


async def test_while_a_secret_is_changed_both_the_old_and_the_new_are_taken(certificate, server):
    new, old = standard_webhooks.new_secret(), standard_webhooks.new_secret()
    await post(made(certificate), server.url, new, old)
    assert server.ids(new) == server.ids(old)


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_every_2xx_is_a_yes(certificate, server, status):
    server.answers.append(status)
    assert (await post(made(certificate), server.url)).ok


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
async def test_every_other_answer_is_a_no_that_names_its_status(certificate, server, status):
    server.answers.append(status)
    answer = await post(made(certificate), server.url)
    assert (answer.ok, answer.status, answer.is_gone) == (False, status, status == 410)
    assert str(status) in (answer.why or "")


@pytest.mark.parametrize(
    ("told", "read_s"),
    [
        ("120", 120.0),
        ("9" * 9, 86_400.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0.0),
    ],
)
async def test_a_busy_receiver_may_say_when_to_come_back(certificate, server, told, read_s):
    async def busy(request: web.Request) -> web.Response:
        del request
        return web.Response(status=429, headers={"Retry-After": told})

    server.answers.append(busy)
    assert (await post(made(certificate), server.url)).retry_after_s == read_s


async def test_a_redirect_is_not_followed(certificate, server):
    server.answers.append(other.to_elsewhere)
    answer = await post(made(certificate), server.url)
    assert (answer.ok, answer.status) == (False, 302)
    assert "redirect" in (answer.why or "")
    assert [one.path for one in server.got] == ["/hooks"]


async def test_an_answer_without_an_end_is_left_where_it_is(certificate, server):
    server.answers.append(other.endless)
    assert await post(made(certificate), server.url) == Answer(True, 200)


async def test_a_refusal_is_quoted_in_a_few_plain_characters(certificate, server):
    async def explain(request: web.Request) -> web.Response:
        del request
        card = "4242" * 4
        return web.Response(status=422, body=b"no\x00\x1b[31m <b>\xff\n " + card.encode() + b" " + b"x" * 1_000_000)

    server.answers.append(explain)
    answer = await post(made(certificate), server.url)
    assert (answer.ok, answer.status, answer.why) == (False, 422, "it answered 422")
    assert answer.excerpt.startswith("no")
    assert len(answer.excerpt) <= 160
    assert answer.excerpt.isascii()
    assert answer.excerpt.isprintable()
    assert "4242" not in answer.excerpt


async def test_a_refusal_that_never_ends_counts_by_its_status(certificate, server, monkeypatch):
    monkeypatch.setattr(sender_module, "READ_TIMEOUT_S", 0.2)

    async def stall(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=500)
        await answer.prepare(request)
        await answer.write(b"wait")
        return await other.never(request)

    server.answers.append(stall)
    answer = await post(made(certificate), server.url)
    assert (answer.status, answer.excerpt) == (500, "wait")


async def test_a_receiver_that_says_nothing_is_given_up(certificate, server):
    server.answers.append(other.never)
    answer = await post(made(certificate, timeout_s=0.5), server.url)
    assert (answer.ok, answer.status, answer.why) == (False, None, "no answer within 0.5 s")


async def test_heads_without_a_bound_are_no_answer(certificate, server):
    async def shout(request: web.Request) -> web.Response:
        del request
        return web.Response(headers={"X-Much": "x" * 100_000})

    server.answers.append(shout)
    answer = await post(made(certificate), server.url)
    assert (answer.ok, answer.status) == (False, None)


async def test_a_certificate_that_nobody_trusts_is_not_trusted(certificate, server):
    answer = await post(made(certificate, ca_file=None), server.url)
    assert "certificate is not trusted" in (answer.why or "")
    assert server.got == []


async def test_a_certificate_of_another_name_is_not_trusted(certificate, tmp_path):
    context, trusted = other.make_certificate(tmp_path, "somebody.else")
    async with other.receiving(context) as receiver:
        answer = await post(made(certificate, ca_file=trusted), receiver.url)
        assert "certificate" in (answer.why or "")
        assert receiver.got == []


async def test_a_name_that_changes_its_mind_after_it_was_checked_leads_nowhere(certificate, server):
    names = Names("93.184.216.34", "127.0.0.1")
    sender = made(certificate, names, allowed_networks=[])
    await addresses.require_usable(server.url, sender.policy, names)
    answer = await post(sender, server.url)
    assert "private address" in (answer.why or "")
    assert server.got == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
async def test_an_address_of_ours_is_not_called_by_name_nor_by_number(certificate, server, address):
    for url in (
        server.url,
        f"https://{f'[{address}]' if ':' in address else address}:{server.port}/",
        f"http://127.0.0.1:{server.port}/",
        f"https://localhost:{server.port}/",
    ):
        answer = await post(made(certificate, Names(address), allowed_networks=[]), url)
        assert not answer.ok
        assert answer.status is None
    assert server.got == []


async def test_plain_http_goes_to_this_machine_when_it_is_allowed(certificate):
    async with other.receiving() as receiver:
        assert not (await post(made(certificate), receiver.url)).ok
        assert (await post(made(certificate, http_on_loopback=True), receiver.url)).ok
        assert len(receiver.got) == 1


async def test_no_proxy_of_the_surroundings_comes_between(certificate, server, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await post(made(certificate), server.url)).ok


async def test_a_cookie_is_not_brought_back(certificate, server):
    async def hands_one_out(request: web.Request) -> web.Response:
        del request
        return web.Response(headers={"Set-Cookie": "a=b"})

    server.answers.append(hands_one_out)
    sender = made(certificate)
    headers = standard_webhooks.headers(MESSAGE, int(time.time()), BODY, [b"k" * 32])
    for _ in range(2):
        assert (await sender.post(server.url, headers, BODY)).ok
    await sender.close()
    assert "cookie" not in server.got[1].headers


async def test_a_name_that_is_not_known_is_said_so(certificate, server):
    class Nobody(Names):
        async def __call__(self, host: str, port: int) -> list[str]:
            raise OSError("no such name")

    answer = await post(made(certificate, Nobody("")), server.url)
    assert answer.why == "its host's name is not known"
    with pytest.raises(AddressRefusedError, match="not known here"):
        await addresses.require_usable(server.url, made(certificate).policy, Nobody(""))


async def test_nobody_who_listens_is_said_so(certificate, server):
    answer = await post(made(certificate), server.url.replace(str(server.port), str(free_port())))
    assert answer.why == "it cannot be connected to"


async def test_a_file_of_certificates_that_is_not_there_is_a_wrong_setting(certificate, server):
    from tenderline.core.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"webhooks\.ca_file"):
        await post(made(certificate, ca_file=Path("/nowhere.pem")), server.url)
