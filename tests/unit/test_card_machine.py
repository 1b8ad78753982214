"""Whatever happens in a card capture, in any order: it never raises, it ends, it tells nothing, it leaves zeros."""

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.card_calls import CARDS, GOOD_UNTIL, VISA, Caller, as_json, buffers, digits
from tenderline.cardholder.brands import KEYS, TABLE, brand_of
from tenderline.cardholder.capture import (
    Action,
    Ended,
    Policy,
    Say,
    Tokenised,
    TokenRefused,
    TokenUnavailable,
    Wait,
)
from tenderline.cardholder.entry import FIELD_OF, Step

POLICIES = st.builds(
    Policy,
    allowed_brands=st.sampled_from([(), ("visa",), ("rupay", "maestro"), tuple(sorted(KEYS))]),
    read_back=st.sampled_from(["last_four", "full"]),
    tries_max=st.integers(1, 10),
    between_keys_s=st.sampled_from([0.1, 5.0]),
    field_s=st.sampled_from([5.0, 30.0]),
    postal=st.booleans(),
    attended=st.booleans(),
)
FIELDS = st.sampled_from(["number", "expiry", "code", "postal_code", "name", ""])
OUTCOMES = st.one_of(
    st.builds(Tokenised, token=st.sampled_from(["tok_a", "", "x" * 999])),
    st.builds(TokenRefused, reason=st.just("no"), field=st.one_of(st.none(), FIELDS)),
    st.builds(TokenUnavailable, why=st.just("timeout")),
)
# What makes sense in a field, so that a run gets further than the number.
LIKELY = {
    Step.NUMBER: st.sampled_from([number + end for _, number in CARDS for end in ("", "#")]),
    Step.EXPIRY: st.sampled_from([GOOD_UNTIL, "1026", "126#", "#"]),
    Step.CODE: st.sampled_from(["739", "7391", "73#"]),
    Step.CODE_AGAIN: st.sampled_from(["739", "7391", "738"]),
    Step.POSTAL_CODE: st.sampled_from(["94103", "1#"]),
}
ANSWERS = st.sampled_from("1112*#7")
# Each of a field's steps: ten tries of two silences, each with a prompt whose end nobody reports.
TIMEOUTS_MAX = len(FIELD_OF) * 10 * 2 * 2 + len(FIELD_OF) * 10 * 2


def leaks(actions: list[Action], keyed: list[str]) -> list[str]:
    """Runs of five digits of any number that was keyed. Tokens in these tests hold no digit."""
    said = re.sub(r'"seconds":[0-9.e-]+', "", as_json(actions))
    runs = re.findall(r"\d{5,}", said)
    parts = {number[at : at + 5] for number in keyed for at in range(len(number) - 4)}
    return runs + [part for part in parts if part in said]


def check_action(action: Action) -> None:
    """No field of an action can hold more than it should."""
    match action:
        case Wait(seconds):
            assert 0 < seconds <= 90
        case Say():
            assert action.last_four is None or len(action.last_four) == 4
            assert action.digits in (None, 3, 4, 5)
        case _:
            pass


class Call(RuleBasedStateMachine):
    """Any caller, any agent, any gateway, and events that come twice, late or never."""

    @initialize(policy=POLICIES)
    def begin(self, policy):
        self.caller = Caller(policy)
        self.keyed: list[str] = []
        self.timeouts = 0
        self.ends = 0

    def look(self, actions):
        self.ends += sum(isinstance(action, Ended) for action in actions)
        for action in actions:
            check_action(action)
        assert not leaks(actions, self.keyed)

    def press(self, keys, each_s):
        for one in keys:
            capture = self.caller.capture
            at_number = capture.step is Step.NUMBER
            actions = self.caller.keys(one, each_s=each_s)
            if at_number and len(capture.number) >= 5:
                self.keyed.append(bytes(capture.number.view()).decode())
                self.keyed = self.keyed[-20:]
            self.look(actions)

    @rule(keys=st.text("0123456789*#", max_size=25), each_s=st.sampled_from([0.1, 4.0, 40.0]))
    def any_keys(self, keys, each_s):
        self.press(keys, each_s)

    @rule(code=st.integers(-3, 20))
    def any_code(self, code):
        self.look(self.caller.note(self.caller.capture.key(code)))

    @rule(data=st.data())
    def likely_keys(self, data):
        step = self.caller.capture.step
        self.press(data.draw(LIKELY.get(step, ANSWERS)), 0.1)

    @rule()
    def prompt_ends(self):
        self.look(self.caller.heard())

    @precondition(lambda self: self.caller.timer_s is not None)
    @rule()
    def time_passes(self):
        self.look(self.caller.silence())

    @rule()
    def timer_fires_when_it_should_not(self):
        self.look(self.caller.note(self.caller.capture.timed_out()))

    @rule(outcome=OUTCOMES)
    def gateway_answers(self, outcome):
        self.look(self.caller.answered(outcome))

    @rule(field=FIELDS)
    def agent_wishes(self, field):
        self.look(self.caller.restart(field))

    @rule(really=st.integers(0, 20))
    def somebody_cancels(self, really):
        if really == 0:
            self.look(self.caller.note(self.caller.capture.cancel()))

    @invariant()
    def after_the_end_there_are_zeros(self):
        if not hasattr(self, "caller"):
            return
        assert self.ends <= 1
        if self.ends:
            assert self.caller.capture.step is Step.ENDED
            assert not any(any(buffer) for buffer in buffers(self.caller.capture))
            assert len(self.caller.capture.number) == 0
        else:
            assert self.caller.capture.step is not Step.ENDED
            assert self.caller.timer_s is not None

    def teardown(self):
        """Left alone it comes to an end, and soon enough."""
        if not hasattr(self, "caller"):
            return
        for _ in range(TIMEOUTS_MAX):
            if self.ends:
                break
            self.look(self.caller.silence())
        assert self.ends == 1
        self.after_the_end_there_are_zeros()


Call.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestAnyCall = Call.TestCase


def actions_of(events, policy, code_map=None):
    """What a run of keys, timers and prompt ends leads to; digits keyed as a code go through `code_map`."""
    caller = Caller(policy)
    for event in events:
        if event == "t":
            if caller.timer_s is not None:
                caller.silence()
        elif event == "p":
            caller.heard()
        elif code_map and event.isdigit() and caller.capture.step in (Step.CODE, Step.CODE_AGAIN):
            caller.keys(code_map[int(event)])
        else:
            caller.keys(event)
    return caller


@settings(deadline=None)
@given(
    st.sampled_from([number for _, number in CARDS]),
    st.lists(st.sampled_from("0123456789*#tp"), max_size=60),
    st.permutations("0123456789"),
    st.booleans(),
)
def test_no_action_depends_on_the_digits_of_the_code(number, events, code_map, attended):
    """Two callers whose codes differ in every digit are told the very same: so nothing of a code is in any action."""
    start = [*number, "#", "t", "1", "t", *GOOD_UNTIL, "t", "1", "t"]
    likely = [*start, *"739", "t", *"739", "t", *events]
    policy = Policy(attended=attended)
    for run in (likely, [*start, *events]):
        assert actions_of(run, policy).all == actions_of(run, policy, code_map).all


def luhn_twin(number: str) -> str:
    """A number of the same length, issuer, checksum and last four, with two other digits between."""
    twins = (f"{number[:7]}{pair:02d}{number[9:]}" for pair in range(100))
    return next(twin for twin in twins if twin != number and _passes(twin))


def _passes(number: str) -> bool:
    doubled = [int(one) * (1 + at % 2) for at, one in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


@settings(deadline=None)
@given(st.sampled_from([number for _, number in CARDS]), POLICIES)
def test_no_action_depends_on_the_middle_of_the_number(number, policy):
    twin = luhn_twin(number)
    assert (len(twin), twin[-4:]) == (len(number), number[-4:])
    runs = []
    for one in (number, twin):
        caller = Caller(policy)
        caller.field(one)
        if caller.ended is None:
            caller.field("1")
        runs.append(caller.all)
    assert runs[0] == runs[1]


@given(st.text("0123456789", max_size=19))
def test_every_run_of_digits_has_one_brand_or_none_and_longer_ones_never_lose_it(text):
    """A prefix that is known stays known: more digits can only name the brand more exactly."""
    known = False
    for at in range(len(text) + 1):
        brand = brand_of(digits(text[:at]))
        assert brand is None or brand in TABLE
        assert brand is not None or not known
        known = brand is not None


@settings(deadline=None)
@given(st.sampled_from([number for _, number in CARDS]), st.integers(0, 18), st.integers(0, 9))
def test_one_wrong_digit_is_never_taken_where_a_checksum_is_promised(number, at, other):
    at %= len(number)
    wrong = number[:at] + str(other) + number[at + 1 :]
    brand = brand_of(digits(wrong))
    caller = Caller()
    caller.field(wrong)
    if caller.timer_s != 60.0:
        caller.field("#")
    said = json.loads(as_json(caller.all))
    taken = any(one.get("prompt") == "confirm_number" for one in said)
    if brand is not None and brand.luhn == "yes" and wrong != number:
        assert not taken
    if wrong == number:
        assert taken


def test_silence_alone_ends_within_a_bounded_number_of_time_outs_from_every_step():
    run = [*VISA, "#", "1", "t", *GOOD_UNTIL, "t", "1", "t", *"739", "t", *"739", "t", *"94103", "t"]
    for stop in range(len(run) + 1):
        caller = actions_of(run[:stop], Policy(postal=True))
        for _ in range(40):
            if caller.ended is not None:
                break
            caller.silence()
        assert caller.ended is not None, stop
        assert caller.ended.result in ("abandoned", "tries_exhausted", "system_problem")
