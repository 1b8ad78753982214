"""The state of a card capture and its moves from step to step; `capture.py` decides which move an event is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from tenderline.cardholder import entry
from tenderline.cardholder.brands import Brand, brand_of
from tenderline.cardholder.card import Card
from tenderline.cardholder.digits import Digits, Undisclosed
from tenderline.cardholder.entry import BEHIND_THE_NUMBER, CONFIRMATIONS, ENTRY_OF, FIELD_OF, Attempts, Step
from tenderline.cardholder.messages import (
    Action,
    Ended,
    Field,
    Policy,
    Progress,
    Prompt,
    Result,
    Say,
    Tokenise,
    Wait,
)
from tenderline.cardholder.words import words
from tenderline.core.clock import steady_s

_SHORTEST_WAIT_S: Final = 0.05  # 0 would stop the timer


class Moves(Undisclosed):
    """One capture, without its events."""

    __slots__ = (
        "_answer", "_attempts", "_card", "_deadline_s", "_now_s", "_policy", "_prompting", "_restarts", "_settling",
        "_step", "_today", "_wishes",
    )  # fmt: skip

    def __init__(self, policy: Policy, today: date, now_s: Callable[[], float] = steady_s) -> None:
        self._card = Card()
        self._policy = policy
        self._today = today
        self._now_s = now_s
        self._step = Step.NEW
        self._attempts = {step: Attempts() for step in FIELD_OF}
        self._answer = 0  # to a read-back: 1 or 2
        self._prompting = False  # something is being said
        self._settling = False  # the field ended by itself; keys are dropped
        self._deadline_s: float | None = None  # of the field
        self._restarts = 0
        self._wishes: set[Field] = set()  # restarts that wait for the gateway's answer

    @property
    def step(self) -> Step:
        """Where it stands."""
        return self._step

    @property
    def number(self) -> Digits:
        """The buffer of the card's number."""
        return self._card.number

    @property
    def expiry(self) -> Digits:
        """The buffer of the expiry, MMYY; empty when the card has none."""
        return self._card.expiry

    @property
    def code(self) -> Digits:
        """The buffer of the security code; empty when the card has none."""
        return self._card.code

    @property
    def postal_code(self) -> Digits:
        """The buffer of the postal code; empty unless the policy asks for it."""
        return self._card.postal_code

    @property
    def nears_the_gateway(self) -> bool:
        """Whether the first digit of a field behind the number stands there: some keys later the gateway is asked."""
        return self._step in BEHIND_THE_NUMBER and len(self._buffer()) == 1

    # What the step at hand has.

    def _buffer(self) -> Digits:
        return self._card.again if self._step is Step.CODE_AGAIN else self._card.buffer(FIELD_OF[self._step])

    def _brand(self) -> Brand | None:
        return brand_of(self.number, self._policy.allowed_brands) if self._step is Step.NUMBER else self._card.brand

    def _has_digits(self) -> bool:
        return self._step not in CONFIRMATIONS and len(self._buffer()) > 0

    def _progress(self) -> list[Action]:
        if not self._policy.attended or self._step in CONFIRMATIONS:
            return []
        brand = self._brand()
        return [Progress(field=FIELD_OF[self._step], count=len(self._buffer()), brand=brand.key if brand else None)]

    def _wait(self, wait_s: float) -> Wait:
        """Not beyond the field's own time."""
        if self._deadline_s is not None:
            wait_s = min(wait_s, self._deadline_s - self._now_s())
        return Wait(max(wait_s, _SHORTEST_WAIT_S))

    def _settle(self) -> list[Action]:
        self._settling = True
        return [Wait(entry.FIELD_SETTLES_S)]

    # The order of steps.

    def _is_asked_for(self, field: Field) -> bool:
        if field == "code" and self._card.brand is not None:
            return self._card.brand.code_length > 0
        return field != "postal_code" or self._policy.postal

    def _accept(self, field: Field) -> list[Action]:
        self._card.done.add(field)
        self._card.again.clear()
        return self._go_on()

    def _go_on(self) -> list[Action]:
        """Asks for what is missing, in order; then the gateway."""
        field = self._card.missing(postal=self._policy.postal)
        if field is not None:
            return self._ask(ENTRY_OF[field])
        self._step = Step.TOKENISING
        return [Say(prompt=Prompt.ONE_MOMENT), Tokenise(), Wait(entry.GATEWAY_MAX_S)]

    def _ask(self, step: Step) -> list[Action]:
        self._step, self._prompting, self._settling, self._deadline_s = step, True, False, None
        if step not in CONFIRMATIONS:
            self._buffer().clear()
        return [*self._progress(), *words(step, self._card, self._policy), Wait(entry.PROMPT_MAX_S)]

    def _try_again(self, step: Step, problem: Prompt | None) -> list[Action]:
        """A try of this step is over: its digits are forgotten, and it is asked again while a try is left."""
        if step in ENTRY_OF.values():
            self._card.forget(FIELD_OF[step])
        attempts = self._attempts[step]
        attempts.count_try()
        if attempts.tries >= self._policy.tries_max:
            return self._end("tries_exhausted")
        said: list[Action] = [] if problem is None else [Say(prompt=problem)]
        return [*said, *self._ask(step)]

    def _go_back(self, field: Field) -> list[Action]:
        self._card.forget(field)
        return self._ask(ENTRY_OF[field])

    def _grant_wishes(self) -> list[Action]:
        for field in self._wishes:
            self._card.forget(field)
        self._wishes.clear()
        return self._go_on()

    def _refused(self, field: Field | None) -> list[Action]:
        """Only what this call asks for can be asked for again."""
        if field is not None and self._is_asked_for(field):
            attempts = self._attempts[ENTRY_OF[field]]
            attempts.count_try()
            if attempts.tries < self._policy.tries_max:
                return [Say(prompt=entry.WRONG[field]), *self._go_back(field)]
        return [Say(prompt=Prompt.CARD_NOT_TAKEN), *self._end("card_refused")]

    def _end(self, result: Result, token: str | None = None) -> list[Action]:
        self._step, self._settling = Step.ENDED, False
        card = self._card
        card.wipe()
        good_until = card.good_until
        ended = Ended(
            result=result,
            token=token,
            brand=card.brand.key if card.brand else None,
            last_four=card.last_four,
            month=good_until.month if good_until else None,
            year=good_until.year if good_until else None,
        )
        return [ended]
