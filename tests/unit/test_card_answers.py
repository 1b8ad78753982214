"""The payer's, the agent's and the gateway's answers in a card capture, silence, and the end, by example."""

import json

import msgspec
import pytest

from support.card_calls import (
    AMEX,
    GOOD_UNTIL,
    VISA,
    Caller,
    as_json,
    buffers,
)
from tenderline.cardholder import entry
from tenderline.cardholder.capture import (
    Action,
    Ended,
    Policy,
    Progress,
    Prompt,
    Say,
    Tokenised,
    TokenRefused,
    TokenUnavailable,
)
from tenderline.cardholder.entry import Step
from tenderline.cardholder.messages import PolicyError

ATTENDED = Policy(attended=True)


def at_expiry(policy: Policy | None = None, number: str = VISA) -> Caller:
    """A call whose number is confirmed."""
    caller = Caller(policy)
    caller.number(number)
    assert caller.capture.step is Step.EXPIRY
    return caller


# Postal code, read-back, an agent.


def test_a_postal_code_is_asked_for_when_the_policy_says_so():
    caller = Caller(Policy(postal=True))
    caller.everything()
    assert caller.last[0] == Say(prompt=Prompt.ASK_POSTAL_CODE, digits=5)
    caller.field("123#")
    assert caller.prompts == [Prompt.POSTAL_CODE_WRONG, Prompt.ASK_POSTAL_CODE]
    caller.field("94103")
    assert caller.asks_gateway
    assert bytes(caller.capture.postal_code.view()) == b"94103"


def test_a_two_at_a_read_back_asks_again_and_is_a_try():
    caller = Caller()
    for _ in range(2):
        caller.field(AMEX)
        caller.field("2")
        assert caller.prompts == [Prompt.ASK_NUMBER]
        assert not any(buffers(caller.capture)[0])
    caller.field(AMEX)
    caller.field("2")
    assert caller.ended == Ended(result="tries_exhausted")


def test_another_answer_is_asked_again_and_a_hash_is_none():
    caller = Caller()
    caller.field(AMEX)
    assert caller.keys("#") == []
    assert [caller.capture.key(code) for code in (12, 15, 16, -1)] == [[]] * 4
    caller.field("7")
    assert caller.prompts == [Prompt.ANSWER_WRONG, Prompt.CONFIRM_NUMBER]
    caller.field("*")
    assert caller.prompts == [Prompt.ASK_NUMBER]


def test_an_expiry_is_corrected_without_keying_the_number_again():
    caller = at_expiry()
    caller.field(GOOD_UNTIL)
    caller.field("2")
    assert caller.prompts == [Prompt.ASK_EXPIRY]
    caller.expiry("1231")
    assert caller.capture.step is Step.CODE
    assert bytes(caller.capture.number.view()) == VISA.encode()


def test_with_an_agent_each_key_is_shown_as_a_count_and_the_code_is_keyed_once():
    caller = Caller(ATTENDED)
    assert caller.last[0] == Progress(field="number", count=0, brand=None)
    assert caller.keys("37")[::2] == [
        Progress(field="number", count=1, brand=None),
        Progress(field="number", count=2, brand="amex"),
    ]
    assert caller.keys("*")[0] == Progress(field="number", count=0, brand=None)
    caller.number(AMEX)
    caller.expiry()
    assert caller.keys("7")[0] == Progress(field="code", count=1, brand="amex")
    caller.field("391")
    assert caller.asks_gateway


def test_without_an_agent_nothing_is_shown():
    caller = Caller()
    caller.everything()
    assert not any(isinstance(action, Progress) for action in caller.all)


@pytest.mark.parametrize("wish", ["number", "expiry", "code"])
@pytest.mark.parametrize("keys", ["", "4", "n", "n1", "n112", "n1e", "n1e1", "n1e17", "n1e1c", "n1e1c7", "n1e1cc"])
def test_an_agent_goes_back_to_a_field_from_anywhere(wish, keys):
    caller = Caller()
    for one in keys:
        caller.field({"n": VISA + "#", "e": GOOD_UNTIL, "c": "739"}.get(one, one))
    number_is_known = keys.startswith("n1")
    said = caller.restart(wish)
    asked = {"number": Prompt.ASK_NUMBER, "expiry": Prompt.ASK_EXPIRY, "code": Prompt.ASK_CODE}
    if caller.capture.step is Step.TOKENISING:
        assert said == []
        said = caller.answered(Tokenised("tok_unused"))
        number_is_known = True
    assert [action.prompt for action in said if isinstance(action, Say)] == [
        asked[wish if number_is_known else "number"]
    ]
    kept = bytes(caller.capture.number.view()).decode()
    assert kept == (VISA if number_is_known and wish != "number" else "")
    assert len(caller.capture.code) == 0 or wish == "expiry"
    for _ in range(6):
        step = caller.capture.step
        if step in entry.ENTRY_OF.values() or step is Step.CODE_AGAIN:
            caller.field({"number": VISA + "#", "expiry": GOOD_UNTIL, "code": "739"}[entry.FIELD_OF[step]])
        elif step in entry.CONFIRMATIONS:
            caller.field("1")
    assert caller.asks_gateway or caller.capture.step is Step.TOKENISING
    assert bytes(caller.capture.expiry.view()) == GOOD_UNTIL.encode()


def test_a_restart_gives_the_field_its_tries_again():
    caller = Caller()
    for _ in range(2):
        caller.field("4#")
        caller.field("4#")
        assert caller.prompts == [Prompt.NUMBER_WRONG, Prompt.ASK_NUMBER]
        caller.restart("number")


def test_what_is_forgotten_is_not_reported_either():
    caller = at_expiry()
    caller.expiry()
    caller.restart("expiry")
    caller.restart("number")
    caller.note(caller.capture.cancel())
    assert caller.ended == Ended(result="cancelled")


def test_restarts_are_bounded_and_unknown_ones_ignored():
    caller = Caller()
    assert caller.restart("postal_code") == []
    assert caller.restart("name") == []
    assert sum(bool(caller.restart("number")) for _ in range(50)) == 20


# Silence.


def test_two_silences_are_a_try_and_nothing_but_silence_is_a_caller_who_left():
    caller = Caller()
    for _ in range(5):
        caller.heard()
        caller.silence()
        assert caller.prompts == [Prompt.NOTHING_KEYED, Prompt.ASK_NUMBER]
    caller.heard()
    caller.silence()
    assert caller.ended == Ended(result="abandoned")


def test_silence_after_a_wrong_number_uses_up_the_tries():
    caller = Caller()
    caller.field("4#")
    for _ in range(4):
        assert caller.ended is None
        caller.heard()
        caller.silence()
    assert caller.ended == Ended(result="tries_exhausted")


def test_a_caller_who_leaves_at_the_read_back_has_abandoned():
    caller = Caller()
    caller.field(AMEX)
    for _ in range(6):
        caller.heard()
        caller.silence()
    assert caller.ended == Ended(result="abandoned", brand="amex", last_four=AMEX[-4:])
    assert not any(any(buffer) for buffer in buffers(caller.capture))


# The gateway's answer and the end.


@pytest.mark.parametrize(
    ("field", "prompts", "kept"),
    [
        ("number", [Prompt.NUMBER_WRONG, Prompt.ASK_NUMBER], ("", "")),
        ("expiry", [Prompt.EXPIRY_WRONG, Prompt.ASK_EXPIRY], (VISA, "")),
        ("code", [Prompt.CODE_WRONG, Prompt.ASK_CODE], (VISA, GOOD_UNTIL)),
    ],
)
def test_a_field_that_the_gateway_refuses_is_asked_again_and_the_code_always_forgotten(field, prompts, kept):
    caller = Caller()
    caller.everything()
    caller.answered(TokenRefused("incorrect", field))
    assert caller.prompts == prompts
    assert (bytes(caller.capture.number.view()).decode(), bytes(caller.capture.expiry.view()).decode()) == kept
    assert not any(buffers(caller.capture)[2])


def test_a_refused_expiry_is_followed_by_the_code():
    caller = Caller()
    caller.everything()
    caller.answered(TokenRefused("incorrect", "expiry"))
    caller.expiry("1231")
    assert caller.said(Prompt.ASK_CODE)
    caller.field("739")
    caller.field("739")
    assert caller.asks_gateway


def test_a_refused_field_has_no_more_tries_than_a_wrong_one():
    caller = Caller()
    caller.everything()
    for _ in range(2):
        caller.answered(TokenRefused("incorrect_cvc", "code"))
        assert caller.ended is None
        caller.field("739")
        caller.field("739")
    caller.answered(TokenRefused("incorrect_cvc", "code"))
    assert caller.ended is not None
    assert caller.ended.result == "card_refused"
    assert caller.prompts == [Prompt.CARD_NOT_TAKEN]


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (TokenRefused("stolen"), "card_refused"),
        (TokenRefused("odd", "postal_code"), "card_refused"),
        (TokenRefused("odd", "name"), "card_refused"),
        (TokenUnavailable("timeout"), "system_problem"),
        (Tokenised(""), "system_problem"),
        (Tokenised("x" * 501), "system_problem"),
        (Tokenised(f"vault_{VISA}"), "system_problem"),
        (Tokenised("-".join(VISA)), "system_problem"),
        (Tokenised("tok_" + VISA[:9]), "system_problem"),
        (Tokenised("tok_" + VISA[-9:]), "system_problem"),
        (Tokenised("tok_" + VISA[:8]), "captured"),
        (Tokenised("tok_" + VISA[:6] + "99" + VISA[-4:]), "captured"),
    ],
)
def test_each_other_answer_ends_it_and_no_reason_is_told(outcome, result):
    caller = Caller()
    caller.everything()
    caller.answered(outcome)
    assert caller.ended is not None
    assert caller.ended.result == result
    assert (caller.ended.token is not None) == (result == "captured")
    assert "stolen" not in as_json(caller.last)
    assert not any(any(buffer) for buffer in buffers(caller.capture))


def test_a_gateway_from_which_nobody_hears_is_a_system_problem():
    caller = Caller()
    caller.everything()
    assert caller.keys("1234*#") == []
    assert caller.heard() == []
    caller.silence()
    assert caller.ended is not None
    assert caller.ended.result == "system_problem"


@pytest.mark.parametrize("keys", ["", "4242", "n", "n1", "n1e1c", "n1e1cc"])
def test_cancel_wipes_everything_at_once_and_nothing_follows(keys):
    caller = Caller()
    for one in keys:
        caller.field({"n": VISA + "#", "e": GOOD_UNTIL, "c": "739"}.get(one, one))
    caller.note(caller.capture.cancel())
    assert caller.ended is not None
    assert caller.ended.result == "cancelled"
    assert not any(any(buffer) for buffer in buffers(caller.capture))
    capture = caller.capture
    late = [capture.cancel(), capture.begin(), capture.key(4), capture.prompt_ended(), capture.timed_out()]
    late += [capture.tokenised(Tokenised("t")), capture.restart("number")]
    assert not any(late)
    assert not any(any(buffer) for buffer in buffers(capture))


def test_wiping_alone_leaves_nothing_and_takes_nothing_more():
    caller = Caller()
    caller.keys("4242")
    caller.capture.wipe()
    caller.keys("4")
    assert not any(any(buffer) for buffer in buffers(caller.capture))


def test_before_it_begins_nothing_happens_and_it_begins_once():
    caller = Caller()
    assert caller.capture.begin() == []


def test_actions_survive_the_way_through_json():
    caller = Caller(Policy(attended=True, read_back="full"))
    caller.everything()
    caller.answered(Tokenised("tok"))
    assert msgspec.json.decode(as_json(caller.all), type=list[Action]) == caller.all
    assert {one["type"] for one in json.loads(as_json(caller.all))} == {
        "Say", "SpeakDigits", "Wait", "Progress", "Tokenise", "Ended",
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"allowed_brands": ("master",)},
        {"tries_max": 0},
        {"tries_max": 11},
        {"between_keys_s": 0.0},
        {"between_keys_s": 31.0},
        {"field_s": 301.0},
    ],
)
def test_a_policy_that_cannot_work_is_refused_when_it_is_read(wrong):
    with pytest.raises(PolicyError):
        Policy(**wrong)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Policy)
