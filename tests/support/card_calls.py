"""A caller with a keypad, for tests of card capture: time passes only when it is told to."""

from __future__ import annotations

from datetime import date

import msgspec

from tenderline.cardholder.capture import Action, Capture, Ended, Outcome, Policy, Prompt, Say, Tokenise, Wait
from tenderline.cardholder.digits import Digits
from tenderline.cardholder.entry import FIELD_SETTLES_S

TODAY = date(2026, 11, 30)
GOOD_UNTIL = "1130"
# Published test numbers, in two halves so that no run of digits here is one: brand, halves.
PARTS = [
    ("visa", "41111111", "11111111"), ("visa", "42424242", "42424242"), ("visa", "42222222", "22222"),
    ("visa", "40000000", "00000000006"), ("mastercard", "55555555", "55554444"), ("mastercard", "22230031", "22003222"),
    ("amex", "37828224", "6310005"), ("discover", "60111111", "11111117"), ("diners", "30569309", "025904"),
    ("diners", "36227206", "271667"), ("diners", "30569300", "09020004"), ("jcb", "35660020", "20360505"),
    ("unionpay", "62000000", "00000005"), ("unionpay", "62055000", "00000000004"), ("maestro", "67596498", "26438453"),
    ("mir", "22000000", "00000053"),
]  # fmt: skip
CARDS = [(brand, first + last) for brand, first, last in PARTS]
VISA = CARDS[1][1]
AMEX = next(number for brand, number in CARDS if brand == "amex")
MAESTRO = next(number for brand, number in CARDS if brand == "maestro")
UNIONPAY = next(number for brand, number in CARDS if brand == "unionpay")
_CODES = {"*": 10, "#": 11}


def digits(text: str, capacity: int = 19) -> Digits:
    """A buffer with these digits."""
    made = Digits(capacity)
    for one in text:
        assert made.push(int(one))
    return made


def buffers(capture: Capture) -> list[bytearray]:
    """The bytes themselves, behind everything that hides them."""
    card = capture._card
    return [one._buffer for one in (card.number, card.expiry, card.code, card.again, card.postal_code)]


def as_json(actions: list[Action]) -> str:
    """What leaves the process."""
    return msgspec.json.encode(actions).decode()


class Caller:
    """One call. `last` is what the last event led to, `all` everything so far."""

    def __init__(self, policy: Policy | None = None, today: date = TODAY) -> None:
        self.now_s = 1000.0
        self.capture = Capture(policy or Policy(), today, now_s=lambda: self.now_s)
        self.last: list[Action] = []
        self.all: list[Action] = []
        self.timer_s: float | None = None
        self.note(self.capture.begin())

    def note(self, actions: list[Action]) -> list[Action]:
        """Keeps what was answered."""
        self.last = actions
        self.all += actions
        for action in actions:
            if isinstance(action, Wait):
                self.timer_s = action.seconds
            if isinstance(action, Ended):
                self.timer_s = None
        return actions

    def keys(self, text: str, *, each_s: float = 0.2) -> list[Action]:
        """Presses these keys, and nothing else happens."""
        said: list[Action] = []
        for one in text:
            self.now_s += each_s
            said += self.note(self.capture.key(_CODES[one] if one in _CODES else int(one)))
        return said

    def field(self, text: str) -> list[Action]:
        """Presses these keys and waits until the next prompt begins, if the field ended by itself."""
        self.keys(text)
        return self.silence() if self.timer_s == FIELD_SETTLES_S else self.last

    def heard(self) -> list[Action]:
        """The prompt is over."""
        self.now_s += 2
        return self.note(self.capture.prompt_ended())

    def silence(self) -> list[Action]:
        """Nothing is done until the timer runs out."""
        assert self.timer_s is not None
        self.now_s += self.timer_s
        return self.note(self.capture.timed_out())

    def answered(self, outcome: Outcome) -> list[Action]:
        """The gateway answers."""
        return self.note(self.capture.tokenised(outcome))

    def restart(self, name: str) -> list[Action]:
        """An agent's wish."""
        return self.note(self.capture.restart(name))

    def number(self, number: str = VISA) -> None:
        """A number, ended and confirmed."""
        self.field(number)
        if not self.said(Prompt.CONFIRM_NUMBER):
            self.field("#")
        self.field("1")

    def expiry(self, expiry: str = GOOD_UNTIL) -> None:
        """An expiry, confirmed."""
        self.field(expiry)
        self.field("1")

    def everything(self, number: str = VISA, code: str = "739") -> None:
        """Up to the question to the gateway."""
        self.number(number)
        self.expiry()
        self.field(code)
        if not self.capture._policy.attended:
            self.field(code)

    def said(self, prompt: Prompt) -> bool:
        """Whether the last answer holds this prompt."""
        return prompt in self.prompts

    @property
    def prompts(self) -> list[Prompt]:
        """What was said last."""
        return [action.prompt for action in self.last if isinstance(action, Say)]

    @property
    def asks_gateway(self) -> bool:
        """Whether the last answer was the question to the gateway."""
        return any(isinstance(action, Tokenise) for action in self.last)

    @property
    def ended(self) -> Ended | None:
        """How it ended."""
        return next((action for action in self.last if isinstance(action, Ended)), None)
