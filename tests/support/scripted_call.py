"""A call that follows a script: keys, silence, a hang-up. Every flow runs on it without a telephone, and in no time.

The script is read whenever the call waits for the caller. A character is a key, `.` is silence until the time-out, and
`!` hangs up; after the script's end there is only silence, unless `hangs_up_at_the_end`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from tenderline.core.money import Money
from tenderline.flows.call import (
    CallEndedError,
    CardEnd,
    CardKeyed,
    ChargeResult,
    Identified,
    PaymentBegun,
    PaymentHandedOver,
    PaymentTerms,
    QueueEnd,
    Say,
    Settlement,
    Talk,
    Transfer,
    Value,
)
from tenderline.flows.spoken import Digits, Number, Pause, Sound, Spoken, Words
from tenderline.routing.queues import NOTHING, Wish

NOW = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
"""A Wednesday, 10:00 in New York."""


def text_of(spoken: Spoken) -> str:
    """What was said, as one line: digits in brackets, other values by their own words."""
    words: list[str] = []
    for part in spoken.parts:
        match part:
            case Words(text):
                words.append(text)
            case Digits(characters):
                words.append(f"<{characters}>")
            case Number(value):
                words.append(str(value))
            case Money():
                words.append(part.format())
            case Pause() | Sound():
                pass
            case _:
                words.append(part.isoformat())
    return " ".join(words)


@dataclass
class ScriptedCall:
    """A `Call` whose caller follows `script`. What went over the line is kept in `heard`, in order."""

    script: str = ""
    caller: str | None = "+12025550123"
    called: str = "+12025550199"
    language: str = "en"
    variables: dict[str, Value] = field(default_factory=dict)
    queue_end: QueueEnd = "talked"
    wishes: list[Wish] = field(default_factory=list)
    talk: Talk = "talked"
    transferred: Transfer = "transferred"
    cards: list[CardKeyed | CardEnd] = field(default_factory=list)
    """What each capture gives; after them, one that works."""
    hangs_up_at: int | None = None
    """The caller hangs up instead of the n-th thing that the call does."""
    hangs_up_at_the_end: bool = False
    conversation_id: UUID = field(default_factory=uuid4)
    answered: bool = False
    ended: bool = False
    hung_up_by_us: bool = False
    recording: bool = False
    heard: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    acts: int = 0
    presses_during_prompts: bool = False

    def speak_language(self, language: str) -> None:
        self.language = language

    def _act(self) -> None:
        if self.acts == self.hangs_up_at:
            self.ended = True
        self.acts += 1
        if self.ended:
            raise CallEndedError

    def _next(self) -> str | None:
        if not self.script:
            if self.hangs_up_at_the_end:
                self.ended = True
                raise CallEndedError
            return None
        key, self.script = self.script[0], self.script[1:]
        if key == "!":
            self.ended = True
            raise CallEndedError
        return None if key == "." else key

    async def answer(self) -> None:
        self._act()
        self.answered = True

    async def say(self, spoken: Spoken, *, cut_by_key: bool) -> bool:
        self._act()
        assert self.answered, "nobody hears what is said before the call is taken"
        self.heard.append(text_of(spoken))
        self.languages.append(spoken.language)
        return cut_by_key and self.presses_during_prompts and self.script[:1] not in ("", ".", "!")

    async def key(self, *, timeout_s: float) -> str | None:
        self._act()
        assert 0 < timeout_s <= 60
        return self._next()

    def forget_keys(self) -> None:
        """The script's keys are pressed when they are waited for; none lies ahead."""

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        self._act()
        self.recording = on
        self.heard.append(f"[recording {'on' if on else 'off'}]")

    @contextmanager
    def unheard(self):
        self.heard.append("[unheard]")
        try:
            yield
        finally:
            self.heard.append("[heard again]")

    async def card(self, say: Say) -> CardKeyed | CardEnd:
        self._act()
        self.heard.append(text_of(say("ask_number", {})))
        return self.cards.pop(0) if self.cards else CardKeyed("pm_1", "visa", "4242")

    async def listen(self, *, duration_s: float) -> bytes:
        self._act()
        return b"\xff" * int(duration_s * 8000)

    async def play_back(self, ulaw: bytes) -> None:
        self._act()
        self.heard.append(f"[{len(ulaw)} bytes]")

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
        self._act()
        self.wishes.append(wish)
        self.heard.append(f"[queue {name}]")
        return self.queue_end

    async def bridge(self, to: str, *, ring_s: float) -> Talk:
        self._act()
        self.heard.append(f"[bridge {to}]")
        return self.talk

    async def transfer(self, to: str, *, ring_s: float) -> Transfer:
        self._act()
        self.heard.append(f"[transfer {to}]")
        self.ended = self.transferred == "transferred"
        return self.transferred

    async def to_provider(self, to: str, told: Mapping[str, str]) -> Transfer:
        self._act()
        self.heard.append(f"[provider {to} {told['X-Payment-Reference']}]")
        self.ended = self.transferred == "transferred"
        return self.transferred

    async def hang_up(self) -> None:
        self._act()
        self.ended = self.hung_up_by_us = True


@dataclass
class ScriptedBackstage:
    """A `Backstage` that answers what it was told to, and keeps what it was asked."""

    at: datetime = NOW
    known: Mapping[str, Value] | None = None
    answer: Mapping[str, Value] | None = None
    wait_s: float | None = None
    is_slow: bool = False
    accepts: bool = True
    asked: list[object] = field(default_factory=list)
    charges: list[ChargeResult] = field(default_factory=list)
    """What each charge gives; after them `taken`."""
    settled: Settlement = "COMPLETED"
    accounts: dict[tuple[str, str], Identified] = field(default_factory=dict)
    """By account and proof."""
    callers_account: tuple[str, str | None] | None = None
    terms: PaymentTerms = field(default_factory=PaymentTerms)

    def now(self) -> datetime:
        return self.at

    async def look_up(self, call: ScriptedCall, *, timeout_s: float) -> Mapping[str, Value] | None:
        self.asked.append(("look_up", call.caller))
        if self.is_slow:
            raise TimeoutError
        return self.known

    async def expected_wait_s(self, queue: str, *, timeout_s: float) -> float | None:
        self.asked.append(("expected_wait_s", queue))
        if self.is_slow:
            raise TimeoutError
        return self.wait_s

    async def call_back(self, call: ScriptedCall, *, number: str | None, due_at: datetime | None) -> bool:
        self.asked.append(("call_back", number, due_at))
        return self.accepts

    async def message(self, call: ScriptedCall, *, template: str, values: Mapping[str, Value]) -> bool:
        self.asked.append(("message", template, dict(values)))
        return self.accepts

    async def post(
        self, call: ScriptedCall, *, endpoint: str, values: Mapping[str, Value], timeout_s: float
    ) -> Mapping[str, Value] | None:
        self.asked.append(("post", endpoint, dict(values)))
        if self.is_slow:
            raise TimeoutError
        return self.answer

    async def account_of(self, caller: str | None, *, timeout_s: float) -> tuple[str, str | None] | None:
        self.asked.append(("account_of", caller))
        if self.is_slow:
            raise TimeoutError
        return self.callers_account

    async def identify(
        self, call: ScriptedCall, *, account: str, by: str, proof: str, timeout_s: float
    ) -> Identified | None:
        self.asked.append(("identify", account, by))
        if self.is_slow:
            raise TimeoutError
        return self.accounts.get((account, proof))

    def payment_terms(self) -> PaymentTerms:
        return self.terms

    async def begin_payment(self, call: ScriptedCall, amount: Money, *, text_announced: bool) -> PaymentBegun | None:
        self.asked.append(("begin_payment", amount))
        return PaymentBegun("1", "12345678") if self.accepts else None

    async def hand_over_payment(
        self, call: ScriptedCall, amount: Money, *, text_announced: bool
    ) -> PaymentHandedOver | None:
        self.asked.append(("hand_over_payment", amount))
        told = {"X-Payment-Reference": "12345678"}
        return PaymentHandedOver("1", "12345678", "sip:pay@provider.example", told) if self.accepts else None

    async def charge(self, payment_id: str, card: CardKeyed) -> ChargeResult:
        self.asked.append(("charge", card.token))
        return self.charges.pop(0) if self.charges else "taken"

    async def leave_payment(self, payment_id: str, why: str) -> None:
        self.asked.append(("leave_payment", why))

    async def settlement(self, payment_id: str, *, timeout_s: float) -> Settlement:
        self.asked.append(("settlement", payment_id))
        return self.settled

    async def alert(self, call: ScriptedCall, *, reason: str) -> bool:
        self.asked.append(("alert", reason))
        return True

    async def opt_out(self, call: ScriptedCall) -> bool:
        self.asked.append(("opt_out",))
        return self.accepts


@dataclass
class KeptPath:
    """A `Path` that keeps the nodes and the exits by which they were left."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    inside: str | None = None

    def entered(self, node: str, step: str, at: datetime) -> None:
        assert self.inside is None, "a step was entered before the last one was left"
        self.inside = node

    def left(self, node: str, exit: str, at: datetime) -> None:
        assert self.inside == node
        self.inside = None
        self.steps.append((node, exit))

    @property
    def nodes(self) -> list[str]:
        """The nodes alone."""
        return [node for node, _ in self.steps]
