"""The contract of a gateway that turns a card into a token, and the request that is built without a copy of the card.

A gateway writes one HTTP request into memory that is wiped, and reads the answer into one of three outcomes. From an
answer only a token passes, and only when it cannot be the card number; reasons are words of ours, never the vendor's
text, which may quote what was sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import msgspec

from tenderline.cardholder.digits import Digits
from tenderline.cardholder.memory import Memory
from tenderline.cardholder.messages import Outcome, Tokenised, TokenRefused, TokenUnavailable
from tenderline.cardholder.wire import GatewayTarget
from tenderline.core import pan

T = TypeVar("T")

HEAD_BYTES_MAX: Final = 4_096
REQUEST_BYTES_MAX: Final = 12_288
TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:=|/+-]{0,254}")
_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,48}")
_HEADER: Final = re.compile(r"[\x20-\x7e]{1,3000}")
_CENTURY: Final = b"20"
_MONTH_DIGITS: Final = 2

# Which field the caller keys again; what names none was declined as a whole.
FIELD_OF: Final = {
    "number_wrong": "number",
    "brand_not_allowed": "number",
    "expiry_wrong": "expiry",
    "expired": "expiry",
    "code_wrong": "code",
    "postal_code_wrong": "postal_code",
    "declined": None,
}


class UnreadableError(Exception):
    """The answer is not what this gateway says; nothing of it is told."""


@dataclass(frozen=True, repr=False, eq=False)
class Keyed:
    """What was keyed. A field that this brand does not have is empty."""

    number: Digits
    expiry: Digits
    code: Digits
    postal_code: Digits


@dataclass(frozen=True, repr=False, eq=False)
class Answer:
    """An HTTP answer: its body lies in memory that will be wiped."""

    status: int
    body: memoryview


@dataclass(repr=False, eq=False)
class Request:
    """One HTTP/1.1 request in fixed memory: the body first, then the head right before it, when its length is known."""

    _memory: Memory = field(default_factory=lambda: Memory(REQUEST_BYTES_MAX))
    _start: int = HEAD_BYTES_MAX
    _end: int = HEAD_BYTES_MAX

    def text(self, text: str) -> None:
        """Writes text that is no secret of the payer's."""
        self._write(text.encode())

    def quoted(self, text: str) -> None:
        """Writes text as a JSON string."""
        self._write(msgspec.json.encode(text))

    def digits(self, digits: Digits) -> None:
        """Copies digits from memory to memory."""
        self._write(digits.view())

    def month(self, expiry: Digits) -> None:
        """The month of an expiry that was keyed as MMYY, two digits."""
        self._write(expiry.view()[:_MONTH_DIGITS])

    def year(self, expiry: Digits) -> None:
        """The year of an expiry that was keyed as MMYY, four digits: no card of the last century is left."""
        self._write(_CENTURY)
        self._write(expiry.view()[_MONTH_DIGITS:])

    def finish(self, path: str, host: str, headers: dict[str, str]) -> None:
        """Writes the head. Raises `UnreadableError` when a header could break out of its line."""
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {self._end - HEAD_BYTES_MAX}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Accept: application/json", "Accept-Encoding: identity", "Connection: close"]
        if not all(_HEADER.fullmatch(line) for line in lines):
            raise UnreadableError
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        start = HEAD_BYTES_MAX - len(head)
        if start < 0:
            raise UnreadableError
        self._memory.view[start:HEAD_BYTES_MAX] = head
        self._start = start

    @property
    def view(self) -> memoryview:
        """What is sent."""
        return self._memory.view[self._start : self._end]

    def wipe(self) -> None:
        """Zeros; the request is empty and may be built again."""
        self._memory.wipe()
        self._start = self._end = HEAD_BYTES_MAX

    def _write(self, data: bytes | memoryview) -> None:
        end = self._end + len(data)
        if end > REQUEST_BYTES_MAX:
            raise UnreadableError
        self._memory.view[self._end : end] = data
        self._end = end


class CardGateway(Protocol):
    """One vendor's way from a card to a token. Neither method keeps anything."""

    path: str
    """Appended to the address of the target."""
    twice_is_harmless: bool
    """Whether a request that was never answered may be sent once more: then there may be a second token, unused."""

    def headers(self, target: GatewayTarget) -> dict[str, str]:
        """Everything but Host and lengths: the key, the version, the content type."""
        ...

    def build(self, card: Keyed, target: GatewayTarget, request: Request) -> None:
        """Writes the body."""
        ...

    def read(self, answer: Answer, card: Keyed) -> Outcome:
        """What the answer says. Raises `UnreadableError`."""
        ...


def told(body: memoryview, kind: type[T]) -> T:
    """The fields that we read, and only these: whatever else an answer echoes never becomes an object."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnreadableError from None


def tokenised(token: Any, card: Keyed) -> Outcome:
    """The token, unless it holds the number or could be one: then it is no token, whatever the gateway calls it.

    A vault whose tokens look like card numbers cannot be used: every guard further on would take them for cards.
    """
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        return TokenUnavailable("the answer held no usable token")
    data = token.encode()
    if data.find(card.number.view()) >= 0 or pan.holds_card_number(data):
        return TokenUnavailable("the token could be a card number")
    return Tokenised(token)


def refused(reason: str) -> TokenRefused:
    """A refusal in our words, and the field that is keyed again."""
    return TokenRefused(reason, FIELD_OF[reason])


def unavailable(answer: Answer, code: Any = None) -> TokenUnavailable:
    """The gateway could not, or would not for a reason that no caller can mend (a key, a permission)."""
    shown = f", {code}" if isinstance(code, str) and _CODE.fullmatch(code) and not code.isdigit() else ""
    return TokenUnavailable(f"the gateway answered {answer.status}{shown}")
