"""What a step may do with a call, and with the world around it.

`voice/call.py` does it on SIP and RTP; the tests have a call that follows a script, so that every flow runs without a
telephone. A call is straight-line code: each method returns when it is over, and raises `CallEndedError` from the
moment the caller has hung up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol
from uuid import UUID

from babel.numbers import get_currency_precision

from tenderline.core.errors import TenderlineError
from tenderline.core.money import Money
from tenderline.flows.spoken import Spoken
from tenderline.routing.queues import NOTHING, Wish

Value = str | int | bool | Money | date | datetime | None
"""What a variable of a call may hold. Never a card number: that lives in `cardholder/` only."""

Talk = Literal["talked", "busy", "no_answer", "failed"]
QueueEnd = Literal["talked", "timed_out", "nobody", "kept"]
Transfer = Literal["transferred", "busy", "no_answer", "failed"]
CardEnd = Literal["abandoned", "tries_exhausted", "cancelled", "system_problem", "card_refused"]
LeftBecause = Literal[CardEnd, "declined", "hung_up"]
ChargeResult = Literal["taken", "declined", "unknown", "failed"]
Settlement = Literal["PENDING", "COMPLETED", "FAILED"]
Proof = Literal["pin", "postal_code", "caller"]
"""What shows that an account is a caller's: `caller` is the number that she calls from."""
Say = Callable[[str, Mapping[str, "Value"]], Spoken]
"""Makes an utterance of a prompt's name and its values."""


@dataclass(frozen=True, slots=True)
class CardKeyed:
    """What is known of a card that was keyed in: a token of the gateway's, and what may be shown."""

    token: str
    brand: str
    last_four: str


@dataclass(frozen=True, slots=True)
class PaymentBegun:
    """A payment that somebody wants to make now. `reference` is what she is told."""

    id: str
    reference: str


@dataclass(frozen=True, slots=True)
class PaymentHandedOver:
    """A payment that a provider's own menu takes. `to` is where that is; `told` goes with the call."""

    id: str
    reference: str
    to: str
    told: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Identified:
    """Whose account it is, and what is owed on it; None when nothing is, or nobody knows."""

    account: str
    person_id: str
    name: str | None
    balance: Money | None


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """What holds for every payment by telephone, whatever its flow says. Amounts in whole units of their currency."""

    minimum: int = 1
    maximum: int = 10_000
    declines_max: int = 3

    def allow(self, amount: Money) -> bool:
        """Whether so much may be taken."""
        unit = 10 ** get_currency_precision(amount.currency)
        return bool(self.minimum * unit <= amount.minor <= self.maximum * unit)


KEYS = frozenset("0123456789*#ABCD")


class CallEndedError(TenderlineError):
    """The caller hung up; nothing more can be said to them on this call."""

    code = "call_ended"
    status = 409


class Call(Protocol):
    """One telephone call, seen by the steps of its flow."""

    @property
    def conversation_id(self) -> UUID:
        """Of the conversation that this call is part of."""
        ...

    @property
    def caller(self) -> str | None:
        """The number of whoever is on the line, in E.164, also on a call of ours; None when it was withheld."""
        ...

    @property
    def called(self) -> str:
        """The number that was dialled, as the line's table knows it."""
        ...

    @property
    def language(self) -> str:
        """BCP 47; a step may change it with `speak_language`."""
        ...

    @property
    def variables(self) -> dict[str, Value]:
        """What the flow has learnt so far; steps read and write it."""
        ...

    def speak_language(self, language: str) -> None:
        """What is said from now on is said in this language."""
        ...

    async def answer(self) -> None:
        """Takes the call; a call that was taken already is not taken twice."""
        ...

    async def say(self, spoken: Spoken, *, cut_by_key: bool) -> bool:
        """Says it to its end, or until a key is pressed when `cut_by_key`. True when a key cut it short.

        The key itself is kept for `key()`.
        """
        ...

    async def key(self, *, timeout_s: float) -> str | None:
        """The next key of `0-9 * # A-D`, keys pressed ahead included; None when none came in time."""
        ...

    def forget_keys(self) -> None:
        """Drops keys that were pressed ahead."""
        ...

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        """Recording begins, goes on, or is silent from here; both sides of the call. Once `sensitive`, the whole
        recording is kept with the sensitive ones."""
        ...

    def unheard(self) -> AbstractContextManager[None]:
        """While it lasts, nobody else hears the caller, and recordings hold silence."""
        ...

    async def card(self, say: Say) -> CardKeyed | CardEnd:
        """A card is keyed in. Nobody else hears it, no recording holds it, and no digit comes here."""
        ...

    async def listen(self, *, duration_s: float) -> bytes:
        """What the caller says in that time, as 8 kHz mu-law; kept in memory only."""
        ...

    async def play_back(self, ulaw: bytes) -> None:
        """Plays what `listen` heard."""
        ...

    async def queue(
        self,
        name: str,
        *,
        wait_max_s: float,
        comfort: Spoken | None,
        comfort_every_s: float,
        wish: Wish = NOTHING,
        keep_place: Spoken | None = None,
    ) -> QueueEnd:
        """Waits for an agent of that queue and lets the two talk until the agent hangs up. `keep_place`: said when the
        place may be kept; "kept" when the caller pressed 1 then."""
        ...

    async def bridge(self, to: str, *, ring_s: float) -> Talk:
        """Calls a number or a SIP address and lets the two talk; ends when the other side hangs up."""
        ...

    async def transfer(self, to: str, *, ring_s: float) -> Transfer:
        """Hands the caller over; after "transferred" the call is gone and every method raises."""
        ...

    async def to_provider(self, to: str, told: Mapping[str, str]) -> Transfer:
        """Hands the caller to a payment provider's own menu, with what it must know, and never through us: after
        "transferred" no audio and no key passes here, and the call is gone."""
        ...

    async def hang_up(self) -> None:
        """Ends the call from our side."""
        ...


class Backstage(Protocol):
    """What steps may ask of the rest of the system. Each answer comes within its time-out."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        ...

    async def look_up(self, call: Call, *, timeout_s: float) -> Mapping[str, Value] | None:
        """What is known about whoever calls; None when nobody is. Raises `TimeoutError`."""
        ...

    async def expected_wait_s(self, queue: str, *, timeout_s: float) -> float | None:
        """How long somebody who came into this queue now would wait; 0 when an agent is free, None while nobody serves
        it. Raises `TimeoutError`."""
        ...

    async def call_back(self, call: Call, *, number: str | None, due_at: datetime | None) -> bool:
        """A callback is noted (None: to the caller's number, as soon as it may be). False when it cannot be."""
        ...

    async def message(self, call: Call, *, template: str, values: Mapping[str, Value]) -> bool:
        """A message to the caller is planned, through the gate like every other. False when it is refused."""
        ...

    async def post(
        self, call: Call, *, endpoint: str, values: Mapping[str, Value], timeout_s: float
    ) -> Mapping[str, Value] | None:
        """Values are posted, signed, to a registered endpoint; its answer's, or None when none came in time."""
        ...

    async def opt_out(self, call: Call) -> bool:
        """The caller wants no contact any more, on any channel. False when nobody can be known by this number."""
        ...

    async def alert(self, call: Call, *, reason: str) -> bool:
        """The caller is in distress: supervisors are told, nothing is charged on this call any more. False: nobody
        could be told."""
        ...

    async def account_of(self, caller: str | None, *, timeout_s: float) -> tuple[str, str | None] | None:
        """The number and the name of the only account of whoever has this number. Raises `TimeoutError`."""
        ...

    async def identify(self, call: Call, *, account: str, by: Proof, proof: str, timeout_s: float) -> Identified | None:
        """Whose account it is, when that is proven. None tells nothing: there is no such account, the proof is wrong,
        or too many were. Raises `TimeoutError`."""
        ...

    def payment_terms(self) -> PaymentTerms:
        """What holds for every payment by telephone."""
        ...

    async def begin_payment(self, call: Call, amount: Money, *, text_announced: bool) -> PaymentBegun | None:
        """The caller wants to pay so much; None when no gateway takes payments by telephone, or the terms do not allow
        it. Who pays is in the variable `person_id`, what for in `account`, where a flow found them out; else she is
        known by her number. `text_announced`: she was told that this number gets a text about it, and went on."""
        ...

    async def hand_over_payment(self, call: Call, amount: Money, *, text_announced: bool) -> PaymentHandedOver | None:
        """The same, to be taken by the payment provider that is set; None when there is none."""
        ...

    async def charge(self, payment_id: str, card: CardKeyed) -> ChargeResult:
        """One try with one card, which goes to its end whether or not somebody is still on the line."""
        ...

    async def leave_payment(self, payment_id: str, why: LeftBecause) -> None:
        """Nothing more will be tried on this call."""
        ...

    async def settlement(self, payment_id: str, *, timeout_s: float) -> Settlement:
        """How the money stands by the gateway's news; PENDING when it says nothing in time."""
        ...
