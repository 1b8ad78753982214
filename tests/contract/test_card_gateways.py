"""One contract for every gateway that turns a card into a token, each against a TLS server that speaks its protocol."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from support import vaults
from support.receiver import make_certificate
from support.vaults import Vault
from tenderline.cardholder.digits import Digits
from tenderline.cardholder.gateway_tls import Exchange
from tenderline.cardholder.gateways.base import Keyed
from tenderline.cardholder.messages import Tokenised, TokenRefused, TokenUnavailable
from tenderline.cardholder.wire import GatewayTarget

NUMBER = "42424242" + "42424242"
EXPIRY, CODE, POSTAL = "1134", "739", "10001"
OF_LOOPBACK = "localhost"


def digits(text: str) -> Digits:
    made = Digits(max(len(text), 1))
    for one in text:
        made.push(int(one))
    return made


def card(number: str = NUMBER, expiry: str = EXPIRY, code: str = CODE, postal: str = "") -> Keyed:
    return Keyed(digits(number), digits(expiry), digits(code), digits(postal))


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return make_certificate(tmp_path_factory.mktemp("identity"), OF_LOOPBACK)


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture(params=vaults.KINDS)
async def vault(request: pytest.FixtureRequest, identity: tuple[ssl.SSLContext, Path]) -> AsyncIterator[Vault]:
    async with vaults.vault(request.param, identity[0], name=OF_LOOPBACK) as made:
        yield made


@pytest.fixture
def target(vault: Vault, identity: tuple[ssl.SSLContext, Path]) -> GatewayTarget:
    return target_of(vault, str(identity[1]))


def target_of(vault: Vault, ca_file: str | None, **more: Any) -> GatewayTarget:
    fields: dict[str, Any] = {
        "kind": vault.kind,
        "url": vault.url,
        "api_key": vaults.KEYS[vault.kind],
        "account": vaults.ACCOUNT,
        "ca_file": ca_file,
        "timeout_s": 5.0,
    }
    return GatewayTarget(**fields | more)


async def ask(exchange: Exchange, target: GatewayTarget, of: Keyed | None = None) -> Any:
    outcome = await asyncio.to_thread(exchange.ask, of or card(), target)
    assert not any(exchange._request._memory.view), "the request is wiped"
    assert not any(exchange._answer.view), "the answer is wiped"
    assert NUMBER not in repr(outcome)
    return outcome


async def test_a_card_becomes_the_vendors_token_by_one_request(
    exchange: Exchange, vault: Vault, target: GatewayTarget
) -> None:
    outcome = await ask(exchange, target)
    assert vault.wrong == []
    assert isinstance(outcome, Tokenised)
    assert outcome.token.endswith(vault.tokens[0])
    assert vault.requests == 1
    assert vault.cards[0][:4] == (NUMBER, "11", "2034", CODE)


async def test_a_postal_code_goes_along_where_the_vendor_takes_one(
    exchange: Exchange, vault: Vault, target: GatewayTarget
) -> None:
    assert isinstance(await ask(exchange, target, card(postal=POSTAL)), Tokenised)
    assert vault.kind == "adyen" or vault.cards[0][4] == POSTAL


@pytest.mark.parametrize(
    ("says", "field"),
    [("declined", None), ("number_wrong", "number"), ("expiry_wrong", "expiry"), ("code_wrong", "code")],
)
async def test_a_refusal_names_the_field_to_key_again(
    exchange: Exchange, vault: Vault, target: GatewayTarget, says: str, field: str | None
) -> None:
    vault.says = says
    assert await ask(exchange, target) == TokenRefused(says, field)


async def test_a_failing_gateway_is_no_fault_of_the_card(
    exchange: Exchange, vault: Vault, target: GatewayTarget
) -> None:
    vault.says = "error"
    assert await ask(exchange, target) == TokenUnavailable("the gateway answered 500")


async def test_a_wrong_key_is_no_fault_of_the_card(exchange: Exchange, vault: Vault, target: GatewayTarget) -> None:
    outcome = await ask(exchange, target_of(vault, target.ca_file, api_key="other"))
    assert isinstance(outcome, TokenUnavailable)
    assert vault.cards == []


async def test_a_gateway_that_says_nothing_is_given_up_in_time(
    exchange: Exchange, vault: Vault, target: GatewayTarget
) -> None:
    async def slow(vault: Vault, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        for _ in range(100):  # a byte now and then must not keep it alive
            await answer.write(b" ")
            await asyncio.sleep(0.1)
        return answer

    vault.says = slow
    started = time.monotonic()
    outcome = await ask(exchange, target_of(vault, target.ca_file, timeout_s=0.5))
    assert outcome == TokenUnavailable("the gateway did not answer in time")
    assert time.monotonic() - started < 5
    assert vault.requests == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_that_is_cut_in_the_middle_is_none(
    exchange: Exchange, vault: Vault, target: GatewayTarget, chunked: bool
) -> None:
    async def cut(vault: Vault, request: web.Request) -> web.StreamResponse:
        body = vault.answer("token").body
        assert isinstance(body, bytes)
        answer = web.StreamResponse(headers=None if chunked else {"Content-Length": str(len(body))})
        if chunked:
            answer.enable_chunked_encoding()
        await answer.prepare(request)
        await answer.write(body[:-1])
        assert request.transport is not None
        request.transport.close()
        return answer

    vault.says = cut
    assert isinstance(await ask(exchange, target), TokenUnavailable)


async def test_an_answer_in_chunks_is_read(exchange: Exchange, vault: Vault, target: GatewayTarget) -> None:
    async def chunks(vault: Vault, request: web.Request) -> web.StreamResponse:
        body = vault.answer("token").body
        assert isinstance(body, bytes)
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        for at in range(0, len(body), 7):
            await answer.write(body[at : at + 7])
        return answer

    vault.says = chunks
    assert isinstance(await ask(exchange, target), Tokenised)


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_of_a_megabyte_is_not_read(
    exchange: Exchange, vault: Vault, target: GatewayTarget, chunked: bool
) -> None:
    async def large(vault: Vault, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers=None if chunked else {"Content-Length": "1000000"})
        if chunked:
            answer.enable_chunked_encoding()
        await answer.prepare(request)
        for _ in range(1_000):
            await answer.write(b" " * 1_000)
        return answer

    vault.says = large
    assert await ask(exchange, target) == TokenUnavailable("the gateway's answer is longer than 64 KB")


@pytest.mark.parametrize("wrap", ["{}", "tok-{}", "{}1"])
async def test_a_card_number_that_is_called_a_token_does_not_pass(
    exchange: Exchange, vault: Vault, target: GatewayTarget, wrap: str
) -> None:
    async def echo(vault: Vault, request: web.Request) -> web.StreamResponse:
        return vault.answer("token", wrap.format(vault.cards[-1][0]))

    vault.says = echo
    assert await ask(exchange, target) == TokenUnavailable("the token could be a card number")


@pytest.mark.parametrize(
    "token", ["", "a b", "a\r\nb", "x" * 300, "\u0660", "55555555" + "55554444"], ids=lambda one: repr(one)[:8]
)
async def test_what_could_not_be_a_token_is_none(
    exchange: Exchange, vault: Vault, target: GatewayTarget, token: str
) -> None:
    async def odd(vault: Vault, request: web.Request) -> web.StreamResponse:
        status, body = vaults.ANSWERS[vault.kind]("token", token or "t", vault.cards[-1])
        text = web.json_response(body, status=status).text or ""
        return web.Response(text=text.replace('"t"', '""') if not token else text, content_type="application/json")

    vault.says = odd
    assert isinstance(await ask(exchange, target), TokenUnavailable)


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "{", '{"id": 7, "token": 7, "data": 7, "resultCode": 7}', "[" * 5_000]
)
async def test_what_is_not_the_vendors_json_is_no_answer(
    exchange: Exchange, vault: Vault, target: GatewayTarget, body: str
) -> None:
    async def odd(vault: Vault, request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type="application/json")

    vault.says = odd
    assert isinstance(await ask(exchange, target), TokenUnavailable)


async def test_a_redirect_is_not_followed(exchange: Exchange, vault: Vault, target: GatewayTarget) -> None:
    async def elsewhere(vault: Vault, request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": vault.url})

    vault.says = elsewhere
    assert isinstance(await ask(exchange, target), TokenUnavailable)
    assert vault.requests == 1


GOOD = b'{"token":"v1.good"}'


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nContent-Length: 2\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nTransfer-Encoding: chunked\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nContent-Length: -19\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nContent-Encoding: gzip\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\n\r\n" + GOOD,
        b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
        b"HTTP/2 200\r\nContent-Length: 19\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 19\r\n\r\n" + GOOD,
        GOOD,
        b"",
        b"\r\n\r\n",
    ],
    ids=range(14),
)
async def test_an_answer_of_doubtful_framing_is_none(
    exchange: Exchange, identity: tuple[ssl.SSLContext, Path], answer: bytes
) -> None:
    assert isinstance(await _answered(exchange, identity, answer), TokenUnavailable)


async def test_an_answer_of_plain_framing_is_read(exchange: Exchange, identity: tuple[ssl.SSLContext, Path]) -> None:
    plain = b"HTTP/1.1 200\r\ncontent-LENGTH:19\r\n\r\n" + GOOD
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\n" + GOOD[:3] + b"\r\n10\r\n" + GOOD[3:]
    for answer in (plain, chunks + b"\r\n0\r\n\r\n"):
        assert await _answered(exchange, identity, answer) == Tokenised("v1.good")


async def _answered(exchange: Exchange, identity: tuple[ssl.SSLContext, Path], answer: bytes) -> Any:
    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(says, "127.0.0.1", 0, ssl=identity[0]) as server:
        url = f"https://{OF_LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        target = GatewayTarget(kind="generic", url=url, api_key="k", ca_file=str(identity[1]), timeout_s=2)
        return await ask(exchange, target)


# --- Before a byte is sent ------------------------------------------------------------------------------------------


async def test_a_certificate_that_nobody_trusts_stops_it_before_anything_is_sent(
    exchange: Exchange, vault: Vault, tmp_path: Path
) -> None:
    _, stranger = make_certificate(tmp_path, OF_LOOPBACK)
    for ca_file in (None, str(stranger)):
        outcome = await ask(exchange, target_of(vault, ca_file))
        assert isinstance(outcome, TokenUnavailable)
        assert "certificate" in outcome.why
    assert vault.requests == 0


@pytest.mark.parametrize("kind", vaults.KINDS)
async def test_a_certificate_of_another_host_stops_it_before_anything_is_sent(
    exchange: Exchange, kind: str, tmp_path: Path
) -> None:
    context, trusted = make_certificate(tmp_path, "elsewhere.test")
    async with vaults.vault(kind, context, name=OF_LOOPBACK) as vault:
        outcome = await ask(exchange, target_of(vault, str(trusted)))
        assert isinstance(outcome, TokenUnavailable)
        assert "certificate" in outcome.why
        assert vault.requests == 0


async def test_tls_before_1_2_is_refused(exchange: Exchange, tmp_path: Path) -> None:
    context, trusted = make_certificate(tmp_path, OF_LOOPBACK)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with _deprecations_allowed():
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with vaults.vault("generic", context, name=OF_LOOPBACK) as vault:
        assert isinstance(await ask(exchange, target_of(vault, str(trusted))), TokenUnavailable)
        assert vault.requests == 0


@contextmanager
def _deprecations_allowed() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.mark.parametrize("kind", vaults.KINDS)
async def test_plain_http_goes_to_loopback_only_and_only_when_the_target_says_so(exchange: Exchange, kind: str) -> None:
    async with vaults.vault(kind, None) as vault:
        assert isinstance(await ask(exchange, target_of(vault, None)), TokenUnavailable)
        assert vault.requests == 0
        allowed = target_of(vault, None, plain_http_on_loopback=True)
        assert isinstance(await ask(exchange, allowed), Tokenised)
        away = target_of(vault, None, plain_http_on_loopback=True, url="http://192.0.2.1/vault/cards")
        outcome = await ask(exchange, away)
        assert "plain HTTP" in outcome.why


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://localhost/",
        "https://",
        "https://user@localhost/",
        "https://localhost/?a=b",
        "https://localhost/a b",
        "https://localhost:99999/",
        "https://local..host/",
        "https://localhost/\r\nX: y",
        "https://loc\u0430lhost/",
    ],
)
async def test_an_unusual_address_is_refused(exchange: Exchange, url: str) -> None:
    target = GatewayTarget(kind="generic", url=url, api_key="k", plain_http_on_loopback=True)
    assert isinstance(await ask(exchange, target), TokenUnavailable)


async def test_a_key_cannot_break_out_of_its_header(exchange: Exchange, vault: Vault, target: GatewayTarget) -> None:
    outcome = await ask(exchange, target_of(vault, target.ca_file, api_key="k\r\nX-Else: 1"))
    assert isinstance(outcome, TokenUnavailable)
    assert vault.cards == []


async def test_a_gateway_that_is_not_there_is_said_to_be_so(exchange: Exchange, vault: Vault, identity: Any) -> None:
    target = target_of(vault, str(identity[1]), url=f"https://localhost:1{vaults.PATHS[vault.kind]}")
    assert "cannot be reached" in (await ask(exchange, target)).why
