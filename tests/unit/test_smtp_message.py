"""How a message becomes mail: whole for every reader, answerable to its attempt, and with no way to add a header."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tenderline.config import SmtpSettings
from tenderline.core.errors import ConfigurationError
from tenderline.messengers.base import OutgoingMessage
from tenderline.messengers.smtp import CONTENT_BYTES_MAX, Smtp, UnwritableMailError, compose

NOW = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)
REFERENCE = UUID("0190f3b2-7c5e-7abc-8def-0123456789ab")
SENDER = Address(display_name="Hope House", username="give", domain="hope.example.org")
STOP = "https://pay.example.org/stop/" + "B" * 48
HTML = '<!doctype html><p>Pay <a href="https://pay.example.org/pay/' + "A" * 48 + '">here</a></p>\n'


def message(**changed: object) -> OutgoingMessage:
    values: dict[str, object] = {
        "reference": REFERENCE,
        "to": "ann@example.org",
        "text": "Dear Ann,\n\n.pay here\n.\nThanks\n",
        "subject": "Your payment to Hope House",
        "html": HTML,
        "unsubscribe_url": STOP,
        "planned_at": NOW,
        **changed,
    }
    return OutgoingMessage(**values)  # type: ignore[arg-type]


def parsed(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_mail_says_who_to_whom_when_and_which_attempt() -> None:
    mail = compose(SENDER, message(), NOW)
    found = parsed(mail.content)
    assert found["From"] == "Hope House <give@hope.example.org>"
    assert found["To"] == "ann@example.org"
    assert found["Subject"] == "Your payment to Hope House"
    assert found["Date"].datetime == NOW
    assert found["Message-ID"] == mail.message_id == f"<{REFERENCE}@hope.example.org>"
    assert (mail.sender, mail.recipient, mail.needs_utf8) == ("give@hope.example.org", "ann@example.org", False)


def test_the_text_and_its_html_are_two_forms_of_one_message() -> None:
    found = parsed(compose(SENDER, message(), NOW).content)
    assert found.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]
    assert body(found, "plain") == "Dear Ann,\n\n.pay here\n.\nThanks\n"
    assert body(found, "html") == HTML


def test_a_mail_without_html_is_plain() -> None:
    assert parsed(compose(SENDER, message(html=""), NOW).content).get_content_type() == "text/plain"


def test_readers_can_unsubscribe_with_one_click_and_robots_do_not_answer() -> None:
    content = compose(SENDER, message(), NOW).content
    assert f"\r\nList-Unsubscribe: <{STOP}>\r\n".encode() in content
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in content
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in content
    assert b"\r\nX-Auto-Response-Suppress: All\r\n" in content
    assert b"List-Unsubscribe" not in compose(SENDER, message(unsubscribe_url=""), NOW).content


def test_long_links_and_ids_are_never_folded_into_encoded_words() -> None:
    sender = Address(username="give", domain="payments.a-very-long-subdomain.hope-house-foundation.example.org")
    url = "https://pay.example.org/stop/" + "B" * 800
    content = compose(sender, message(unsubscribe_url=url), NOW).content
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in content
    assert f"\r\nMessage-ID: <{REFERENCE}@{sender.domain}>\r\n".encode() in content


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=400)


@given(text=texts, html=texts, subject=st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=90))
def test_any_text_crosses_the_wire_in_seven_bits_and_short_lines(text: str, html: str, subject: str) -> None:
    content = compose(SENDER, message(text=text, html=html, subject=subject), NOW).content
    assert content.isascii()
    assert b"\x00" not in content
    assert content.endswith(b"\r\n")
    lines = content.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    in_headers = lines[: lines.index(b"")]
    for line in lines:
        assert len(line) <= (998 if line in in_headers else 76)
    found = parsed(content)
    assert " ".join(str(found["Subject"]).split()) == " ".join(subject.split())
    assert body(found, "plain").rstrip("\n") == _with_plain_line_ends(text).rstrip("\n")


@pytest.mark.parametrize("subject", ["Très bien à vous, Médecins sans frontières " * 3, "日本" * 60, "😀" * 70])
def test_subjects_beyond_ascii_are_encoded_words_of_legal_length(subject: str) -> None:
    content = compose(SENDER, message(subject=subject), NOW).content
    head = content.partition(b"\r\n\r\n")[0].decode("ascii")
    assert all(len(word) <= 75 for word in re.findall(r"=\?\S+\?=", head))  # RFC 2047, 2
    assert parsed(content)["Subject"].strip() == subject.strip()


@given(
    evil=st.sampled_from(
        ["\r\nBcc: all@example.org", "\nX: 1", "\rX: 1", "\x00", "\x0bX: 1", "\x85X: 1", "\u2028X: 1"]
    ),
    around=st.text("abc ", max_size=5),
    field=st.sampled_from(["subject", "to", "unsubscribe_url"]),
)
def test_no_value_can_add_a_header(evil: str, around: str, field: str) -> None:
    good = {"subject": "Hello", "to": "ann@example.org", "unsubscribe_url": STOP}[field]
    for value in (good + evil, around + evil + good, good[:5] + evil + good[5:]):
        with pytest.raises(UnwritableMailError):
            compose(SENDER, message(**{field: value}), NOW)


@given(to=st.text(max_size=40) | st.text('a@<>,;:"\\ ().[]é\n', max_size=20))
def test_an_address_is_one_address_or_none(to: str) -> None:
    try:
        mail = compose(SENDER, message(to=to), NOW)
    except UnwritableMailError:
        return
    local, _, domain = mail.recipient.rpartition("@")
    assert to.startswith(local + "@")
    assert domain.isascii()
    assert not set(mail.recipient) & set(' <>,;:"()[]\\\r\n')


@pytest.mark.parametrize(
    "to",
    [
        *(
            "",
            "ann",
            "@example.org",
            "ann@",
            "a b@example.org",
            "ann@example.org, bob@example.org",
            "<ann@example.org>",
        ),
        *("Ann <ann@example.org>", "ann@exa mple.org", "ann@-x-.", "a" * 65 + "@example.org", "ann..lee@example.org"),
    ],
)
def test_an_address_that_is_none_is_refused_as_unusable(to: str) -> None:
    with pytest.raises(UnwritableMailError) as error:
        compose(SENDER, message(to=to), NOW)
    assert error.value.refused.address_unusable
    assert to == "" or to not in error.value.refused.why


def test_a_domain_beyond_ascii_travels_in_its_ascii_form() -> None:
    mail = compose(SENDER, message(to="ann@bücher.example"), NOW)
    assert (mail.recipient, mail.needs_utf8) == ("ann@xn--bcher-kva.example", False)


def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    mail = compose(SENDER, message(to="änn@example.org"), NOW)
    assert (mail.recipient, mail.needs_utf8) == ("änn@example.org", True)
    assert "\r\nTo: änn@example.org\r\n".encode() in mail.content


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"text": "half \ud83d"}, "text_unsafe"),
        ({"html": "half \ud83d"}, "text_unsafe"),
        ({"text": "x" * CONTENT_BYTES_MAX}, "too_large"),
        ({"subject": "x" * 301}, "header_unsafe"),
        ({"unsubscribe_url": "https://x.example/" + "x" * 900}, "header_unsafe"),
        ({"unsubscribe_url": "https://x.example/>, <mailto:x"}, "header_unsafe"),
        ({"unsubscribe_url": "javascript:alert(1)"}, "header_unsafe"),
    ],
)
def test_what_cannot_be_written_is_refused_with_a_reason(changed: dict[str, object], code: str) -> None:
    with pytest.raises(UnwritableMailError) as error:
        compose(SENDER, message(**changed), NOW)
    assert error.value.refused.code == code
    assert not error.value.refused.address_unusable


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"host": None}, "smtp.host"),
        ({"from_address": None}, "smtp.from_address"),
        ({"from_address": "nobody"}, "smtp.from_address"),
        ({"from_address": "a@b.example\r\nBcc: c@d.example"}, "smtp.from_address"),
        ({"ca_file": "/nonexistent/ca.pem"}, "smtp.ca_file"),
        ({"starttls": "never", "password": SecretStr("p")}, "smtp.starttls"),
    ],
)
def test_settings_that_cannot_work_are_named(changed: dict[str, object], told: str) -> None:
    good = {"host": "mail.example.org", "from_address": "give@example.org"}
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        Smtp(SmtpSettings.model_validate({**good, **changed}))


def _with_plain_line_ends(text: str) -> str:
    return "\n".join(re.split(r"\r\n|\r|\n", text))
