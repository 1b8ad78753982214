"""The simulated mailbox, as a mail client, a reader and a test see it: real SMTP and HTTP on loopback."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
import pytest_asyncio

from support.sandbox_world import World, open_world, until
from tenderline_sandbox import mailbox as mailbox_module
from tenderline_sandbox.app import SandboxSettings

ADA = "ada@example.org"
BEN = "ben@example.org"
USER, PASSWORD = "tenderline", "a password of the test"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing_world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def world(standing_world: World) -> AsyncIterator[World]:
    yield standing_world
    await standing_world.clear()


def letter(to: str = ADA, *, unsubscribe: str | None = None, one_click: bool = True) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Harbour Fund <gifts@harbour.example>"
    message["To"] = to
    message["Subject"] = "Grüße: your gift"
    message["Message-ID"] = "<01980000@harbour.example>"
    if unsubscribe:
        message["List-Unsubscribe"] = f"<mailto:stop@harbour.example>, <{unsubscribe}>"
        if one_click:
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(
        f"Hello <Ada>,\n\npay at https://harbour.example/p/x\n\n.a line with a dot\n{unsubscribe or ''}\n"
    )
    message.add_alternative("<h1>Hello Ada</h1><script>alert(1)</script>", subtype="html")
    return message


async def post(world: World, message: EmailMessage, **more: Any) -> tuple[dict[str, Any], str]:
    return await aiosmtplib.send(
        message, hostname=world.sandbox.smtp_host, port=world.sandbox.smtp_port, start_tls=False, timeout=20, **more
    )


async def received(world: World, query: str = "") -> list[dict[str, Any]]:
    answer = await world.control("GET", f"/control/mailbox/messages{query}")
    assert answer["count"] == len(answer["messages"])
    return list(answer["messages"])


# --- receiving -------------------------------------------------------------------------------------------------------


async def test_a_message_arrives_with_headers_text_and_html(world: World) -> None:
    refused, answer = await post(world, letter())
    assert not refused
    assert "queued as" in answer
    (mail,) = await received(world)
    assert (mail["to"], mail["subject"], mail["message_id"]) == (ADA, "Grüße: your gift", "<01980000@harbour.example>")
    assert mail["text"].startswith("Hello <Ada>,\n\npay at https://harbour.example/p/x\n\n.a line with a dot\n")
    assert mail["html"].startswith("<h1>Hello Ada</h1>")
    assert ["To", ADA] in mail["headers"]
    assert mail["id"] in answer


async def test_every_recipient_has_an_inbox_of_their_own(world: World) -> None:
    await post(world, letter(f"{ADA}, Ben <BEN@example.org>"))
    assert [mail["to"] for mail in await received(world)] == [ADA, BEN]
    assert [mail["to"] for mail in await received(world, f"?to={BEN}")] == [BEN]


async def test_only_the_newest_messages_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "MAILS_MAX", 3)
    for number in range(5):
        await post(world, letter(f"reader{number}@example.org"))
    assert [mail["to"] for mail in await received(world)] == [f"reader{n}@example.org" for n in (2, 3, 4)]


async def test_a_body_in_an_unknown_encoding_is_still_readable(world: World) -> None:
    raw = (
        b"From: a@example.org\r\nTo: ada@example.org\r\nSubject: odd\r\n"
        b'Content-Type: text/plain; charset="martian"\r\n\r\nhello\r\n'
    )
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=world.sandbox.smtp_port, start_tls=False) as client:
        await client.sendmail("a@example.org", [ADA], raw)
    assert (await received(world))[0]["text"].strip() == "hello"


async def test_what_is_not_mail_is_refused(world: World) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=world.sandbox.smtp_port, start_tls=False) as client:
        with pytest.raises(aiosmtplib.SMTPDataError) as refusal:
            await client.sendmail("a@example.org", [ADA], b"\r\njust text\r\n")
    assert refusal.value.code == 554


# --- signing in and TLS ----------------------------------------------------------------------------------------------


async def test_tls_is_verified_against_the_exported_authority_and_required_with_the_login(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    settings = {"smtp_starttls": True, "smtp_certificate_path": str(path)}
    async with open_world(**settings, smtp_username=USER, smtp_password=PASSWORD) as world:
        context = ssl.create_default_context(cafile=path)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        where: dict[str, Any] = {"hostname": world.sandbox.smtp_host, "port": world.sandbox.smtp_port, "timeout": 5}
        tls: dict[str, Any] = {"start_tls": True, "tls_context": context}
        await aiosmtplib.send(letter(), **where, **tls, username=USER, password=PASSWORD)
        assert [mail["to"] for mail in await received(world)] == [ADA]
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await aiosmtplib.send(letter(), **where, **tls, username=USER, password="guess")
        with pytest.raises(aiosmtplib.SMTPSenderRefused) as no_login:
            await aiosmtplib.send(letter(), **where, **tls)
        assert no_login.value.code == 530
        with pytest.raises(aiosmtplib.SMTPException):
            await aiosmtplib.send(letter(), **where, start_tls=False)
        with pytest.raises(ssl.SSLCertVerificationError):  # nobody else's authority vouches for it
            await aiosmtplib.send(letter(), **where, start_tls=True)
        assert len(await received(world)) == 1


async def test_a_login_without_tls_works_when_tls_is_not_asked_for() -> None:
    async with open_world(smtp_username=USER, smtp_password=PASSWORD) as world:
        await post(world, letter(), username=USER, password=PASSWORD)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await post(world, letter(), username=USER, password="guess")
        assert len(await received(world)) == 1


async def test_half_a_login_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="go together"):
        SandboxSettings(smtp_username=USER)


# --- bad days --------------------------------------------------------------------------------------------------------


async def test_a_busy_server_turns_away_the_message_or_the_whole_connection(world: World) -> None:
    await world.control("PUT", "/faults/mailbox", rate_limit_next=2)
    for code in (421, 451):
        with pytest.raises(aiosmtplib.SMTPResponseException) as busy:
            await post(world, letter())
        assert busy.value.code == code
    assert await received(world) == []
    await post(world, letter())
    assert len(await received(world)) == 1


async def test_a_refusal_before_stores_nothing_and_an_error_after_has_stored_it(world: World) -> None:
    await world.control("PUT", "/faults/mailbox", fail_before_next=1)
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await post(world, letter())
    assert refused.value.code == 550
    assert await received(world) == []
    await world.control("PUT", "/faults/mailbox", fail_after_success_next=1)
    with pytest.raises(aiosmtplib.SMTPDataError) as doubtful:
        await post(world, letter())
    assert doubtful.value.code == 451
    assert len(await received(world)) == 1


@pytest.mark.parametrize("starttls", [False, True])
async def test_a_connection_cut_before_the_last_answer_leaves_the_message_stored(starttls: bool) -> None:
    async with open_world(smtp_starttls=starttls) as world:
        await world.control("PUT", "/faults/mailbox", drop_after_success_next=1)
        path = world.sandbox.smtp_certificate_path
        context = ssl.create_default_context(cafile=path) if path else None
        port = world.sandbox.smtp_port
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await aiosmtplib.send(letter(), hostname="127.0.0.1", port=port, start_tls=starttls, tls_context=context)
        assert [mail["to"] for mail in await received(world)] == [ADA]


async def test_a_late_answer_comes_after_the_message_is_stored(world: World) -> None:
    await world.control("PUT", "/faults/mailbox", latency_ms=60_000)
    with pytest.raises(aiosmtplib.SMTPTimeoutError):
        await aiosmtplib.send(letter(), hostname="127.0.0.1", port=world.sandbox.smtp_port, start_tls=False, timeout=2)
    assert len(await received(world)) == 1


async def test_an_address_that_is_gone_is_refused_until_it_exists_again(world: World) -> None:
    await world.control("POST", "/control/mailbox/reject", address=" Ada@Example.org ")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await post(world, letter())
    (rejection,) = refused.value.recipients
    assert (rejection.code, rejection.message[:5]) == (550, "5.1.1")
    await world.control("POST", "/control/mailbox/reject", address=ADA, rejected=False)
    await post(world, letter())
    assert len(await received(world)) == 1


async def test_a_stopped_server_closes_its_connections() -> None:
    async with open_world() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.sandbox.smtp_port)
        assert (await reader.readline()).startswith(b"220 ")
        await asyncio.wait_for(world.sandbox.stop(), 20)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


# --- readers ---------------------------------------------------------------------------------------------------------


async def test_one_click_unsubscribes_as_the_rfc_says(world: World) -> None:
    url = f"{world.product.url}/u/abc?x=%2B1"
    await post(world, letter(unsubscribe=url))
    (mail,) = await received(world)
    assert (mail["unsubscribe_url"], mail["one_click"]) == (url, True)
    answer = await world.control("POST", "/control/mailbox/unsubscribe", id=mail["id"])
    assert answer["product_status"] == 200
    (hook,) = world.product.hooks
    assert (hook.url, hook.form) == (url, {"List-Unsubscribe": "One-Click"})
    assert hook.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Cookie" not in hook.headers


async def test_a_message_that_does_not_promise_one_click_is_never_posted_for(world: World) -> None:
    await post(world, letter(unsubscribe=f"{world.product.url}/u/abc", one_click=False))
    await post(world, letter())
    for mail in await received(world):
        async with world.http.post(
            f"{world.sandbox.url}/control/mailbox/unsubscribe", json={"id": mail["id"]}
        ) as answer:
            assert answer.status == 422
    assert world.product.hooks == []


async def test_what_the_product_says_to_an_unsubscribe_is_shown(world: World) -> None:
    world.product.statuses = [302]
    await post(world, letter(unsubscribe=f"{world.product.url}/u/abc"))
    (mail,) = await received(world)
    path = f"/mail/{mail['id']}"
    async with world.http.post(f"{world.sandbox.url}{path}/unsubscribe") as answer:
        assert "Not unsubscribed: the product answered 302." in await answer.text()
    async with world.http.post(f"{world.sandbox.url}{path}/unsubscribe") as answer:
        assert "Unsubscribed: the product answered 200." in await answer.text()
    assert len(world.product.hooks) == 2


async def test_a_reader_finds_the_inbox_the_message_and_its_link(world: World) -> None:
    await post(world, letter(unsubscribe=f"{world.product.url}/u/abc"))
    assert "1 message, 1 unread" in re.sub(r"\s+", " ", await world.page("/mailbox"))
    inbox = await world.page(f"/mailbox/{ADA}")
    path = re.search(r'href="(/mail/[0-9a-f]+)"', inbox)
    assert path
    page = await world.page(path.group(1))
    assert 'href="https://harbour.example/p/x" target="_blank" rel="noopener noreferrer">Open the payment link' in page
    assert "Hello &lt;Ada&gt;" in page
    assert "<script>alert" not in page
    assert "List-Unsubscribe-Post" in page
    assert "unread" not in await world.page("/mailbox")


async def test_a_messages_own_html_is_shown_where_it_can_do_nothing(world: World) -> None:
    await post(world, letter())
    (mail,) = await received(world)
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in await world.page(f"/mail/{mail['id']}")
    async with world.http.get(f"{world.sandbox.url}/mail/{mail['id']}/html") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "<h1>Hello Ada</h1>" in await answer.text()
    assert policy.startswith("sandbox allow-popups")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert "script-src" not in policy


async def test_a_message_that_is_gone_is_explained(world: World) -> None:
    for path in ("/mail/0", "/mailbox/nobody@example.org"):
        async with world.http.get(world.sandbox.url + path, headers={"Accept": "text/html"}) as answer:
            assert answer.status == 404
            assert "That did not work" in await answer.text()


async def test_a_visitor_makes_an_address_bounce_and_exist_again(world: World) -> None:
    await post(world, letter())
    form = f"{world.sandbox.url}/mailbox/{ADA}/reject"
    async with world.http.post(form, data={"rejected": "yes"}) as answer:
        assert "550 5.1.1" in await answer.text()
    assert world.sandbox.mailbox.rejected == {ADA}
    async with world.http.post(form, data={"rejected": "no"}) as answer:
        assert answer.status == 200
    assert world.sandbox.mailbox.rejected == set()


async def test_an_open_inbox_is_told_of_new_mail(world: World) -> None:
    version = world.sandbox.mailbox.changes.version
    async with world.http.get(f"{world.sandbox.url}/live?topic=mailbox&since={version}") as stream:
        await post(world, letter())
        assert await asyncio.wait_for(stream.content.readline(), 20) == b"event: change\n"


async def test_a_hundred_messages_at_once_all_arrive(world: World) -> None:
    slots = asyncio.Semaphore(20)

    async def one(number: int) -> None:
        async with slots:
            await post(world, letter(f"reader{number}@example.org"))

    await asyncio.gather(*(one(number) for number in range(100)))
    await until(lambda: len(world.sandbox.mailbox.mails) == 100, "all of them are stored")
    assert {mail["to"] for mail in await received(world)} == {f"reader{n}@example.org" for n in range(100)}
