"""Twilio's webhooks: only what Twilio signed is believed, no opt-out is lost, no card number is kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tenderline.compliance.keywords import ReplyKind, read_reply
from tenderline.config import TwilioSettings
from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.messengers.base import Channel, IncomingMessage, Receipt, ReceiptState
from tenderline.messengers.twilio import Twilio

TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://pay.example.org"
URL = f"{PUBLIC}/webhooks/twilio"
ATTEMPT = UUID("0190f3b2-7c5e-7abc-8def-0123456789ab")
SID = "SM" + "a" * 32
INCOMING = {"MessageSid": SID, "SmsSid": SID, "SmsStatus": "received", "From": "+12025550123", "To": "+12025550100"}
STATUS = {"MessageSid": SID, "SmsSid": SID, "To": "+12025550123", "From": "+12025550100"}


def twilio(token: str = TOKEN) -> Twilio:
    settings = TwilioSettings(account_sid="AC" + "0" * 32, auth_token=SecretStr(token), from_number="+12025550100")
    return Twilio(settings, PUBLIC)


def sign(url: str, body: bytes, token: str = TOKEN) -> dict[str, bytes]:
    """Twilio's recipe, written again: address, then each name and its distinct values, both sorted."""
    values: dict[str, set[str]] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        values.setdefault(name, set()).add(value)
    text = url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return {"x-twilio-signature": base64.b64encode(digest)}


def verified(fields: dict[str, str], url: str = URL) -> Envelope:
    body = urlencode(fields).encode()
    return twilio().verify(url, sign(url, body), body)


def test_the_example_that_twilio_publishes_is_accepted() -> None:
    body = b"To=%2B18005551212&CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675310&Caller=%2B14158675310"
    headers = {"x-twilio-signature": b"L/OH5YylLD5NRKLltdqwSvS0BnU="}
    url = "https://example.com/myapp.php?foo=1&bar=2"
    assert twilio("12345").verify(url, headers, body).event_type == "other"


fields = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), min_size=1, max_size=6)


@given(fields=fields)
def test_whatever_is_signed_is_accepted(fields: dict[str, str]) -> None:
    body = urlencode(fields, errors="surrogatepass").encode()
    try:
        body.decode()
        signed = sign(URL, body)
    except UnicodeEncodeError:
        return
    assert twilio().verify(URL, signed, body).event_id


@given(fields=fields, bit=st.integers(min_value=0), part=st.sampled_from(["signature", "body", "url"]))
def test_one_changed_bit_anywhere_is_refused(fields: dict[str, str], bit: int, part: str) -> None:
    clean = {name.encode("ascii", "ignore").decode() or "n": value for name, value in fields.items()}
    body = urlencode({name: value.encode("ascii", "ignore").decode() for name, value in clean.items()}).encode()
    url, headers = URL, sign(URL, body)
    if part == "url":
        url = _flipped(url.encode(), bit).decode("latin-1")
    elif part == "signature":
        headers = {"x-twilio-signature": _flipped(headers["x-twilio-signature"], bit)}
    else:
        changed = _flipped(body, bit)
        before, after = (set(parse_qsl(one.decode("latin-1"), keep_blank_values=True)) for one in (body, changed))
        if before == after or "".join(sorted(map("".join, before))) == "".join(sorted(map("".join, after))):
            return  # `+` for a space, `%2b` for `%2B`, or a boundary between name and value: the same was signed
        body = changed
    with pytest.raises((ForgedWebhookError, MalformedWebhookError)):
        twilio().verify(url, headers, body)


@given(
    url=st.text(max_size=60) | st.sampled_from(["http://[", "https://h:x/", "//", "https://h:99999999999/"]),
    signature=st.binary(max_size=40) | st.binary(min_size=28, max_size=28) | st.none(),
    body=st.binary(max_size=300),
)
def test_no_input_does_more_than_be_refused(url: str, signature: bytes | None, body: bytes) -> None:
    headers = {} if signature is None else {"x-twilio-signature": signature}
    with pytest.raises((ForgedWebhookError, MalformedWebhookError)):
        twilio().verify(url, headers, body)


@given(
    body=st.binary(max_size=300) | st.builds(lambda text: text.encode(), st.text("=&%+BodyFrom\x00SM1", max_size=80))
)
def test_anything_stored_can_be_read(body: bytes) -> None:
    assert isinstance(twilio().read(body), Receipt | IncomingMessage | None)


def test_a_missing_signature_is_forged_even_when_the_body_is_unreadable() -> None:
    with pytest.raises(ForgedWebhookError):
        twilio().verify(URL, {}, b"\xff\xfe")
    with pytest.raises(ForgedWebhookError):
        twilio().verify(URL, {"x-twilio-signature": "é".encode() * 14}, b"a=b")


@pytest.mark.parametrize("body", [b"\xff=1", b"a=%ff", b"a", b"a&b=1", b"{}", b"&".join([b"a=1"] * 201)])
def test_a_form_that_cannot_be_read_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError):
        twilio().verify(URL, {"x-twilio-signature": b"A" * 27 + b"="}, body)


def test_two_hundred_fields_are_read_and_stored_with_the_attempt() -> None:
    body = urlencode(STATUS | {"MessageStatus": "sent"} | {f"f{n}": "" for n in range(195)}).encode()
    url = f"{URL}?attempt={ATTEMPT}"
    read = twilio().read(twilio().verify(url, sign(url, body), body).body)
    assert isinstance(read, Receipt)
    assert read.reference == ATTEMPT


def test_a_value_sent_twice_is_signed_once() -> None:
    body = b"b=2&b=1&b=2&a=1"
    assert twilio().verify(URL, sign(URL, body), body).event_type == "other"


@pytest.mark.parametrize(
    ("signed", "ours"),
    [
        (URL, "https://pay.example.org:443/webhooks/twilio"),
        ("https://pay.example.org:443/webhooks/twilio", URL),
        ("https://pay.example.org/webhooks/twilio?attempt=x", "https://pay.example.org:8443/webhooks/twilio?attempt=x"),
        ("http://[::1]:80/webhooks/twilio", "http://[::1]/webhooks/twilio"),
        ("http://user:pw@h/webhooks/twilio", "http://user:pw@h:80/webhooks/twilio"),
    ],
)
def test_the_port_may_be_signed_or_not(signed: str, ours: str) -> None:
    body = b"a=1"
    assert twilio().verify(ours, sign(signed, body), body)
    with pytest.raises(ForgedWebhookError):
        twilio().verify(ours.replace("twilio", "other"), sign(signed, body), body)


def test_another_account_s_signature_is_refused() -> None:
    with pytest.raises(ForgedWebhookError):
        twilio("x" * 32).verify(URL, sign(URL, b"a=1"), b"a=1")


@pytest.mark.parametrize(
    ("status", "code", "state", "unusable", "opted_out"),
    [
        ("queued", "", ReceiptState.ACCEPTED, False, False),
        ("accepted", "", ReceiptState.ACCEPTED, False, False),
        ("sending", "", ReceiptState.ACCEPTED, False, False),
        ("sent", "", ReceiptState.ACCEPTED, False, False),
        ("delivered", "", ReceiptState.DELIVERED, False, False),
        ("read", "", ReceiptState.DELIVERED, False, False),
        ("undelivered", "30003", ReceiptState.FAILED, False, False),
        ("undelivered", "30005", ReceiptState.FAILED, True, False),
        ("failed", "30006", ReceiptState.FAILED, True, False),
        ("undelivered", "21610", ReceiptState.FAILED, False, True),
        ("failed", "", ReceiptState.FAILED, False, False),
        ("canceled", "", ReceiptState.FAILED, False, False),
    ],
)
def test_a_status_becomes_a_receipt_of_the_attempt_that_its_address_named(
    status: str, code: str, state: ReceiptState, unusable: bool, opted_out: bool
) -> None:
    envelope = verified(STATUS | {"MessageStatus": status, "ErrorCode": code}, f"{URL}?attempt={ATTEMPT}")
    assert envelope.event_id == f"{SID}:{status}"
    assert (envelope.event_type, envelope.urgency, envelope.subject) == ("message.status", Urgency.OTHER, None)
    read = twilio().read(envelope.body)
    assert isinstance(read, Receipt)
    assert (read.reference, read.provider_reference, read.state) == (ATTEMPT, SID, state)
    assert (read.code or "", read.address_unusable, read.opted_out) == (code, unusable, opted_out)
    assert STATUS["To"] not in (read.why or "")


@pytest.mark.parametrize("query", ["", "?attempt=", "?attempt=nonsense", "?other=1"])
def test_a_receipt_without_a_true_attempt_is_known_by_its_message(query: str) -> None:
    read = twilio().read(verified(STATUS | {"MessageStatus": "delivered"}, URL + query).body)
    assert isinstance(read, Receipt)
    assert (read.reference, read.provider_reference) == (None, SID)


@pytest.mark.parametrize("status", ["received", "receiving", "something_new", "Ünknown"])
def test_a_status_that_we_do_not_know_is_kept_and_says_nothing(status: str) -> None:
    assert twilio().read(verified(STATUS | {"MessageStatus": status}).body) is None


def test_what_a_person_writes_goes_first_and_holds_her_number() -> None:
    envelope = verified(INCOMING | {"Body": "STOP"})
    assert (envelope.event_id, envelope.event_type) == (SID, "message.received")
    assert (envelope.urgency, envelope.subject) == (Urgency.PERSON_SPOKE, "+12025550123")
    assert twilio().read(envelope.body) == IncomingMessage(
        channel=Channel.SMS, sender="+12025550123", text="STOP", provider_reference=SID
    )


@given(text=st.text(max_size=60).filter(lambda text: not any(c.isdigit() for c in text)))
def test_a_text_arrives_as_it_was_written(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    read = twilio().read(verified(INCOMING | {"Body": text}).body)
    assert isinstance(read, IncomingMessage)
    assert read.text == text.replace("\x00", "")


@pytest.mark.parametrize(
    "card",
    [
        "4242424242424242",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4242  4242  4242  4242",
        "4242\n4242\n4242\n4242",
        "4242/4242/4242/4242",
        "４２４２４２４２４２４２４２４２",
        "3782 822463 10005",
    ],
)
def test_a_card_number_is_never_kept_and_never_costs_an_opt_out(card: str) -> None:
    envelope = verified(INCOMING | {"Body": f"STOP my card is {card} ok", "ProfileName": card})
    plain = dict(parse_qsl(envelope.body.decode()))
    digits = "".join(str(int(c)) for c in card if c.isdigit())
    for value in (envelope.body.decode(), *plain.values()):
        assert digits[-8:] not in "".join(c for c in value if c.isdigit())
    assert plain["Body"] == "STOP my card is [card number removed] ok"
    read = twilio().read(envelope.body)
    assert isinstance(read, IncomingMessage)
    assert read_reply(read.text).kind is ReplyKind.OPT_OUT


def test_a_sender_whose_number_looks_like_a_card_is_not_masked() -> None:
    # Thirteen digits, a Visa prefix and a right Luhn sum: a German mobile number may have them all.
    sender = "+4915123456787"
    envelope = verified(INCOMING | {"From": sender, "Body": "stop 4242424242424242"})
    read = twilio().read(envelope.body)
    assert isinstance(read, IncomingMessage)
    assert (envelope.subject, read.sender) == (sender, sender)


def test_the_raw_body_is_kept_when_nothing_is_to_be_hidden() -> None:
    body = b"MessageSid=" + SID.encode() + b"&Body=a+b%20c&From=%2b12025550123"
    assert twilio().verify(URL, sign(URL, body), body).body == body


def test_a_keyword_that_only_twilio_was_taught_is_an_opt_out_here_too() -> None:
    read = twilio().read(verified(INCOMING | {"Body": "Schluss", "OptOutType": "STOP"}).body)
    assert isinstance(read, IncomingMessage)
    assert read_reply(read.text).kind is ReplyKind.OPT_OUT
    assert "Schluss" in read.text


def test_secrets_do_not_show_in_what_is_printed() -> None:
    assert TOKEN not in repr(vars(twilio()).get("_settings"))


def _flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(changed)
