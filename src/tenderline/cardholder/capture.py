"""A card keyed on a telephone, decided key by key and without a line of input or output.

Each method returns what is to be done, in order. The rules of entry, and why:

- `#` ends a field; a number that its brand makes no longer, an expiry, a code and a postal code end by themselves.
- Keys after the end of a field that ended by itself are dropped until the next prompt starts, FIELD_SETTLES_S later:
  a digit keyed twice, or the `#` of habit, must not answer a question that was not heard yet. From its start on a
  prompt can be keyed over. After the last field there is no question: the gateway is asked at once.
- `*` clears. Silence ends what has digits, and counts where there are none.
- The code is keyed twice and compared, because it is never spoken (PCI DSS 4.0.1, 3.3.1.2; PCI SSC, Protecting
  Telephone-Based Payment Card Data, 2018). With an agent on the call it is keyed once: a refusal asks for it again.

There is always a timer running until the end, so that a lost event costs time and never a line that stays open.
"""

from __future__ import annotations

from typing import Final

from tenderline.cardholder import entry
from tenderline.cardholder.card import DEPENDENT
from tenderline.cardholder.entry import CONFIRMATIONS, ENTRY_OF, FIELD_OF, WITHOUT_KEYS, Attempts, Step
from tenderline.cardholder.expiry import Expiry, read_expiry
from tenderline.cardholder.messages import (
    FIELDS,
    Action,
    Ended,
    Field,
    Outcome,
    Policy,
    Progress,
    Prompt,
    Result,
    Say,
    SpeakDigits,
    Tokenise,
    Tokenised,
    TokenRefused,
    TokenUnavailable,
    Wait,
)
from tenderline.cardholder.moves import Moves

__all__ = [
    "Action", "Capture", "Ended", "Field", "Outcome", "Policy", "Progress", "Prompt", "Result", "Say", "SpeakDigits",
    "TokenRefused", "TokenUnavailable", "Tokenise", "Tokenised", "Wait",
]  # fmt: skip

_RESTARTS_MAX: Final = 20  # an agent's; more are ignored
_TOKEN_CHARACTERS_MAX: Final = 500


class Capture(Moves):
    """One card. `today` is the date in UTC-12 (`expiry.last_date_on_earth`); `now_s` is a clock that only goes on."""

    __slots__ = ()

    def begin(self) -> list[Action]:
        """Asks for the number. Once."""
        return self._go_on() if self._step is Step.NEW else []

    def key(self, code: int) -> list[Action]:
        """A key: 0 to 9, 10 for `*`, 11 for `#`. Others are ignored."""
        if self._step in WITHOUT_KEYS or self._settling or not 0 <= code <= entry.HASH:
            return []
        if self._step in CONFIRMATIONS:
            return self._choose(code)
        if self._deadline_s is not None and self._now_s() >= self._deadline_s:
            return self._judge() if self._has_digits() else []
        if code == entry.HASH:
            return self._end_by_hash()
        if code == entry.STAR:
            return self._clear()
        return self._push(code)

    def prompt_ended(self) -> list[Action]:
        """All that was to be said has been heard, or was cut off by a key."""
        if self._step in WITHOUT_KEYS or self._settling or self._has_digits():
            return []
        self._prompting = False
        self._deadline_s = self._now_s() + self._policy.field_s
        return [self._wait(self._policy.between_keys_s)]

    def timed_out(self) -> list[Action]:
        """The timer ran out."""
        if self._step in (Step.NEW, Step.ENDED):
            return []
        if self._step is Step.TOKENISING:
            return self._end("system_problem")
        if self._settling or self._has_digits():
            return self._judge()
        return self.prompt_ended() if self._prompting else self._silence()

    def tokenised(self, outcome: Outcome) -> list[Action]:
        """What the gateway said. What it refused is asked for again, when it names that and a try is left.

        Then, and after a restart, all but the code and that field is kept for the next question; else all is wiped.
        """
        if self._step is not Step.TOKENISING:
            return []
        self._card.forget("code")  # a code that a gateway has seen is never kept (PCI DSS 3.3.1)
        if self._wishes:
            return self._grant_wishes()
        match outcome:
            case Tokenised(token) if 0 < len(token) <= _TOKEN_CHARACTERS_MAX and not entry.echoes(token, self.number):
                return self._end("captured", token)
            case TokenRefused(field=name):
                named = next((field for field in FIELDS if field == name), None)
                return self._refused(named)
            case _:
                return self._end("system_problem")

    def restart(self, field: Field) -> list[Action]:
        """An agent's wish: forget this field, what depends on it and its tries, and ask for it now.

        While the gateway is asked the wish waits for its answer, and then wins over it: the token is left unused.
        Before there is a number every wish is for the number.
        """
        if self._step in (Step.NEW, Step.ENDED) or field not in FIELDS or self._restarts == _RESTARTS_MAX:
            return []
        if not self._is_asked_for(field):
            return []
        if "number" not in self._card.done:
            field = "number"
        self._restarts += 1
        for step, belongs_to in FIELD_OF.items():
            if belongs_to in DEPENDENT[field]:
                self._attempts[step] = Attempts()
        if self._step is Step.TOKENISING:
            self._wishes.add(field)
            return []
        return self._go_back(field)

    def cancel(self) -> list[Action]:
        """Somebody stops it."""
        return [] if self._step is Step.ENDED else self._end("cancelled")

    def wipe(self) -> None:
        """Every buffer becomes zeros and takes no digit any more."""
        self._card.wipe()

    # The keys of one step.

    def _push(self, code: int) -> list[Action]:
        buffer, field = self._buffer(), FIELD_OF[self._step]
        if not buffer.push(code):
            return []
        if self._deadline_s is None:
            self._deadline_s = self._now_s() + self._policy.field_s
        brand = self._brand()
        if len(buffer) >= entry.longest(field, brand):
            return [*self._progress(), *(self._judge() if self._completes() else self._settle())]
        return [*self._progress(), self._wait(entry.silence_s(field, len(buffer), brand, self._policy))]

    def _completes(self) -> bool:
        """Whether the gateway is asked next: then a key too many can answer nothing, and nobody has to wait for it."""
        done = FIELD_OF[self._step]
        if self._step is Step.CODE_AGAIN:
            right = self.code.compare(self._card.again)
        else:
            right = self._step is Step.POSTAL_CODE or (self._step is Step.CODE and self._policy.attended)
        others = (one for one in FIELDS if one != done and self._is_asked_for(one))
        return right and all(one in self._card.done for one in others)

    def _choose(self, code: int) -> list[Action]:
        """At a read-back one key is the answer; `*` means again. `#` is a habit and means nothing."""
        if code == entry.HASH:
            return []
        self._answer = entry.AGAIN if code == entry.STAR else code
        return self._settle()

    def _end_by_hash(self) -> list[Action]:
        """Without digits it is a habit, unless this card may lack the field and the prompt was heard."""
        if self._has_digits():
            return self._judge()
        field = FIELD_OF[self._step]
        if self._prompting or self._step is Step.CODE_AGAIN or not entry.optional(field, self._card.brand):
            return []
        return self._accept(field)

    def _clear(self) -> list[Action]:
        """It gives the field its whole time again, so it is counted."""
        if not self._has_digits():
            return []
        attempts = self._attempts[self._step]
        attempts.clears += 1
        if attempts.clears > entry.CLEARS_MAX:
            return self._try_again(self._step, Prompt.CLEARED)
        self._buffer().clear()
        self._prompting, self._deadline_s = True, None
        return [*self._progress(), Say(prompt=Prompt.CLEARED), Wait(entry.PROMPT_MAX_S)]

    def _silence(self) -> list[Action]:
        attempts = self._attempts[self._step]
        attempts.count_silence()
        if attempts.tries >= self._policy.tries_max:
            return self._end("abandoned" if attempts.only_silence else "tries_exhausted")
        return [Say(prompt=Prompt.NOTHING_KEYED), *self._ask(self._step)]

    # The verdict on one step.

    def _judge(self) -> list[Action]:
        self._settling = False
        match self._step:
            case Step.NUMBER:
                return self._judge_number()
            case Step.EXPIRY:
                return self._judge_expiry()
            case Step.CODE:
                return self._judge_code()
            case Step.CODE_AGAIN:
                same = self.code.compare(self._card.again)
                return self._accept("code") if same else self._try_again(Step.CODE, Prompt.CODES_DIFFER)
            case Step.POSTAL_CODE:
                whole = len(self.postal_code) == entry.POSTAL_DIGITS
                return self._accept("postal_code") if whole else self._try_again(self._step, Prompt.POSTAL_CODE_WRONG)
            case _:
                return self._judge_answer()

    def _judge_number(self) -> list[Action]:
        brand = self._brand()
        problem = entry.number_problem(self.number, brand, self._policy)
        if brand is None or problem is not None:
            return self._try_again(Step.NUMBER, problem)
        self._card.accept_number(brand)
        return self._ask(Step.CONFIRM_NUMBER)

    def _judge_expiry(self) -> list[Action]:
        read = read_expiry(self.expiry, self._today)
        if isinstance(read, Expiry):
            self._card.good_until = read
            return self._ask(Step.CONFIRM_EXPIRY)
        return self._try_again(Step.EXPIRY, Prompt.EXPIRED if read == "expired" else Prompt.EXPIRY_WRONG)

    def _judge_code(self) -> list[Action]:
        if len(self.code) != entry.longest("code", self._card.brand):
            return self._try_again(Step.CODE, Prompt.CODE_WRONG)
        return self._accept("code") if self._policy.attended else self._ask(Step.CODE_AGAIN)

    def _judge_answer(self) -> list[Action]:
        field = FIELD_OF[self._step]
        if self._answer == entry.RIGHT:
            return self._accept(field)
        if self._answer == entry.AGAIN:
            return self._try_again(ENTRY_OF[field], None)
        return self._try_again(self._step, Prompt.ANSWER_WRONG)
