"""Twilio's webhooks: how far a message got, and what people write back. Pure: no I/O.

Source: Twilio's page on webhook security, and its pages on the message statuses and error codes. An opt-out is never
lost here: not for a card number beside it, and not for a keyword that only Twilio was taught.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from uuid import UUID

from tenderline.compliance.keywords import ReplyKind, read_reply
from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError
from tenderline.core.pan import mask_card_numbers
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.messengers.base import Channel, IncomingMessage, Receipt, ReceiptState

FORM_FIELDS_MAX: Final = 200
SIGNATURE_HEADER: Final = "x-twilio-signature"
ATTEMPT_FIELD: Final = "TenderlineAttempt"
"""Added to what is stored: the attempt that the callback's address named, which the worker would not see otherwise."""

OPTED_OUT: Final = "21610"
# The number is none, cannot get texts, or is a landline: twilio.com/docs/api/errors
UNUSABLE: Final = frozenset({"21211", "21217", "21265", "21401", "21614", "21635", "30005", "30006"})
MEANINGS: Final = {
    OPTED_OUT: "the person opted out at the carrier",
    "30003": "the handset cannot be reached",
    "30004": "the carrier blocks it",
    "30005": "the number is not in use",
    "30006": "it is a landline, or the carrier cannot be reached",
    "30007": "the carrier filtered it",
}
SID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

_STATES: Final = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), ReceiptState.ACCEPTED),
    **dict.fromkeys(("delivered", "read"), ReceiptState.DELIVERED),
    **dict.fromkeys(("undelivered", "failed", "canceled"), ReceiptState.FAILED),
}
_STATUS = re.compile(r"[a-z_-]{1,32}", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9]{3,15}", re.ASCII)
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[^0-9A-Za-z]{1,3}(?=\d)")
_SIGNATURE_LENGTH: Final = 28  # base64 of the 20 bytes of SHA-1
_ADDRESS_FIELDS: Final = frozenset({"From", "To", "WaId"})


def verify(auth_token: str, url: str, headers: Mapping[str, bytes], body: bytes) -> Envelope:
    """See `InboundSource.verify`."""
    given = headers.get(SIGNATURE_HEADER, b"")
    if len(given) != _SIGNATURE_LENGTH:
        raise ForgedWebhookError()
    pairs = _form(body, FORM_FIELDS_MAX)
    signatures = [sign(auth_token, spelling, pairs) for spelling in _spellings(url)]
    # All are compared, so that the time taken tells nothing.
    if not sum(hmac.compare_digest(given, signature) for signature in signatures):
        raise ForgedWebhookError()
    fields = dict(pairs)
    sid, status = _sid(fields), _status(fields)
    event_id, event_type, urgency, subject = hashlib.sha256(body).hexdigest(), "other", Urgency.OTHER, None
    if _is_incoming(fields):
        event_id, event_type, urgency = sid or event_id, "message.received", Urgency.PERSON_SPOKE
        subject = fields["From"] if _NUMBER.fullmatch(fields["From"]) else None
    elif sid is not None and status is not None:
        event_id, event_type = f"{sid}:{status}", "message.status"
    kept = _kept(body, pairs, url)
    return Envelope(event_id=event_id, event_type=event_type, urgency=urgency, body=kept, subject=subject)


def sign(auth_token: str, url: str, pairs: Sequence[tuple[str, str]]) -> bytes:
    """Base64 of HMAC-SHA1 over the address and each distinct name and value, sorted."""
    signed = url + "".join(name + value for name, value in sorted(set(pairs)))
    return base64.b64encode(hmac.digest(auth_token.encode(), signed.encode("utf-8", "surrogatepass"), hashlib.sha1))


def read(body: bytes) -> Receipt | IncomingMessage | None:
    """See `InboundSource.read`."""
    try:
        fields = dict(_form(body, FORM_FIELDS_MAX + 1))
    except MalformedWebhookError:
        return None
    sid, status = _sid(fields), _status(fields)
    if _is_incoming(fields):
        text = fields["Body"].replace("\x00", "")
        # Twilio reads opt-out words that an operator taught it; what it took for a STOP must be one here too.
        if fields.get("OptOutType") == "STOP" and read_reply(text).kind is not ReplyKind.OPT_OUT:
            text = f"STOP\n{text}"
        return IncomingMessage(channel=Channel.SMS, sender=fields["From"], text=text, provider_reference=sid or "")
    if sid is None or status is None:
        return None
    return receipt(_uuid(fields.get(ATTEMPT_FIELD, "")), sid, status, fields.get("ErrorCode", ""))


def receipt(reference: UUID | None, sid: str, status: str, code: str) -> Receipt | None:
    """What a status of Twilio's means; None for one that says nothing about an outgoing message."""
    state = _STATES.get(status)
    if state is None:
        return None
    if state is not ReceiptState.FAILED:
        return Receipt(reference=reference, provider_reference=sid, state=state)
    known = code if re.fullmatch(r"[0-9]{1,6}", code) else None
    return Receipt(
        reference=reference,
        provider_reference=sid,
        state=state,
        code=known,
        why=f"Twilio: {MEANINGS.get(code, status)} (code {known or 'none'})",
        address_unusable=code in UNUSABLE,
        opted_out=code == OPTED_OUT,
    )


def _form(body: bytes, fields_max: int) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=fields_max,
        )
    except ValueError:
        raise MalformedWebhookError() from None


def _is_incoming(fields: Mapping[str, str]) -> bool:
    return "Body" in fields and "From" in fields and "MessageStatus" not in fields


def _sid(fields: Mapping[str, str]) -> str | None:
    sid = fields.get("MessageSid", fields.get("SmsSid", ""))
    return sid if SID.fullmatch(sid) else None


def _status(fields: Mapping[str, str]) -> str | None:
    status = fields.get("MessageStatus", fields.get("SmsStatus", ""))
    return status if _STATUS.fullmatch(status) else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _spellings(url: str) -> list[str]:
    """Twilio signs the address as it was set, some products with its port and some without."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.netloc.rpartition("@")[2]
    except ValueError:
        return [url]
    default = {"https": 443, "http": 80}.get(parts.scheme)
    if port is None and default is None:
        return [url]
    other = f"{host}:{default}" if port is None else host.removesuffix(f":{port}")
    return [url, parts._replace(netloc=parts.netloc.removesuffix(host) + other).geturl()]


def _kept(body: bytes, pairs: list[tuple[str, str]], url: str) -> bytes:
    """What is stored: the raw form without card numbers, with the attempt that its address named.

    An opt-out must not be lost because a card number stands beside it, so the number goes and the rest stays.
    """
    clean = [(name, value if name in _ADDRESS_FIELDS else _without_card_numbers(value)) for name, value in pairs]
    kept = body if clean == pairs else urlencode(clean).encode("ascii")
    try:
        named = parse_qs(urlsplit(url).query, max_num_fields=FORM_FIELDS_MAX).get("attempt", [""])
    except ValueError:
        named = [""]
    attempt = _uuid(named[0])
    return kept if attempt is None else kept + f"&{ATTEMPT_FIELD}={attempt}".encode("ascii")


def _without_card_numbers(text: str) -> str:
    """Masks card numbers, also those in fullwidth digits or parted by what `mask_card_numbers` does not expect."""
    text = mask_card_numbers(text)
    plain = _BETWEEN_DIGITS.sub(" ", unicodedata.normalize("NFKC", text))
    masked = mask_card_numbers(plain)
    return text if masked == plain else masked
