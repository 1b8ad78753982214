"""Each rule of keying a card on a telephone, by example."""

from datetime import date

import msgspec
import pytest

from support.card_calls import (
    AMEX,
    CARDS,
    GOOD_UNTIL,
    MAESTRO,
    UNIONPAY,
    VISA,
    Caller,
    buffers,
)
from tenderline.cardholder.brands import TABLE
from tenderline.cardholder.capture import (
    Ended,
    Policy,
    Prompt,
    Say,
    SpeakDigits,
    Tokenise,
    Tokenised,
    TokenRefused,
    Wait,
)
from tenderline.cardholder.entry import FIELD_SETTLES_S, GATEWAY_MAX_S, NUMBER_SETTLES_S, PROMPT_MAX_S, Step

SIXTEEN_OF_19 = next(number for brand, number in CARDS if brand == "discover")
THIRTEEN = next(number for brand, number in CARDS if len(number) == 13)
MASTERCARD = next(number for brand, number in CARDS if brand == "mastercard")
ATTENDED = Policy(attended=True)


def at_expiry(policy: Policy | None = None, number: str = VISA) -> Caller:
    """A call whose number is confirmed."""
    caller = Caller(policy)
    caller.number(number)
    assert caller.capture.step is Step.EXPIRY
    return caller


def at_code(policy: Policy | None = None, number: str = VISA) -> Caller:
    """A call whose expiry is confirmed."""
    caller = at_expiry(policy, number)
    caller.expiry()
    assert caller.capture.step is Step.CODE
    return caller


@pytest.mark.parametrize(("key", "number"), CARDS)
def test_every_published_test_number_is_captured_with_its_brand(key, number):
    caller = Caller()
    caller.everything(number, code="7391" if key == "amex" else "739")
    assert caller.asks_gateway
    caller.answered(Tokenised("tok_abc"))
    assert caller.ended == Ended(
        result="captured", token="tok_abc", brand=key, last_four=number[-4:], month=11, year=2030
    )
    assert not any(any(buffer) for buffer in buffers(caller.capture))


def test_the_whole_of_an_ordinary_capture():
    caller = Caller()
    assert caller.last == [Say(prompt=Prompt.ASK_NUMBER), Wait(PROMPT_MAX_S)]
    assert caller.heard() == [Wait(5.0)]
    assert caller.keys("4") == [Wait(5.0)]
    caller.keys(VISA[1:])
    caller.keys("#")
    assert caller.last == [
        Say(prompt=Prompt.CONFIRM_NUMBER, brand="visa", last_four=VISA[-4:]),
        Wait(PROMPT_MAX_S),
    ]
    assert caller.keys("1") == [Wait(FIELD_SETTLES_S)]
    assert caller.silence()[0] == Say(prompt=Prompt.ASK_EXPIRY, digits=4)
    assert caller.field(GOOD_UNTIL)[0] == Say(prompt=Prompt.CONFIRM_EXPIRY, month=11, year=2030)
    assert caller.field("1")[0] == Say(prompt=Prompt.ASK_CODE, digits=3)
    assert caller.field("739")[0] == Say(prompt=Prompt.ASK_CODE_AGAIN, digits=3)
    assert caller.field("739") == [Say(prompt=Prompt.ONE_MOMENT), Tokenise(), Wait(GATEWAY_MAX_S)]
    assert bytes(caller.capture.number.view()) == VISA.encode()
    assert bytes(caller.capture.expiry.view()) == GOOD_UNTIL.encode()
    assert bytes(caller.capture.code.view()) == b"739"
    assert len(caller.capture.postal_code) == 0


def test_the_gateway_is_near_from_the_first_digit_of_every_field_behind_the_number():
    caller = Caller(Policy(postal=True))
    assert not caller.capture.nears_the_gateway
    caller.keys(VISA[0])
    assert not caller.capture.nears_the_gateway, "it would wait for a minute"
    caller = at_expiry(Policy(postal=True))
    for whole in (GOOD_UNTIL, None, "739", "739", "10001"):
        if whole is None:
            caller.field("1")
            continue
        assert not caller.capture.nears_the_gateway
        caller.keys(whole[0])
        assert caller.capture.nears_the_gateway
        caller.keys(whole[1])
        assert not caller.capture.nears_the_gateway
        caller.field(whole[2:])
    assert caller.asks_gateway


def test_after_the_last_key_the_gateway_is_asked_at_once_and_a_key_too_many_changes_nothing():
    caller = Caller()
    caller.number()
    caller.expiry()
    caller.field("739")
    assert caller.keys("739")[-3:] == [Say(prompt=Prompt.ONE_MOMENT), Tokenise(), Wait(GATEWAY_MAX_S)]
    assert caller.keys("9#1") == []
    caller = Caller()
    caller.number()
    caller.expiry()
    caller.field("739")
    assert caller.keys("738")[-1] == Wait(FIELD_SETTLES_S), "a question follows, which a key too many must not answer"


# How a field ends.


def test_a_number_of_its_brands_only_length_ends_by_itself():
    caller = Caller()
    assert caller.keys(AMEX)[-1] == Wait(FIELD_SETTLES_S)
    assert caller.silence()[0] == Say(prompt=Prompt.CONFIRM_NUMBER, brand="amex", last_four=AMEX[-4:])


def test_sixteen_digits_of_a_number_that_could_be_longer_end_after_three_seconds():
    caller = Caller()
    assert caller.keys(SIXTEEN_OF_19)[-2:] == [Wait(5.0), Wait(NUMBER_SETTLES_S)]
    caller.silence()
    assert caller.said(Prompt.CONFIRM_NUMBER)


def test_a_number_of_nineteen_digits_is_not_cut_at_sixteen():
    number = next(number for _, number in CARDS if number.startswith("40000") and len(number) == 19)
    caller = Caller()
    caller.keys(number[:16])
    assert caller.last == [Wait(NUMBER_SETTLES_S)]
    assert caller.keys(number[16:17]) == [Wait(5.0)], "a Visa has no seventeen digits"
    assert caller.keys(number[17:])[-1] == Wait(FIELD_SETTLES_S)
    caller.silence()
    assert caller.said(Prompt.CONFIRM_NUMBER)


def test_thirteen_digits_end_by_the_silence_between_keys():
    caller = Caller()
    assert caller.keys(THIRTEEN)[-1] == Wait(5.0)
    caller.silence()
    assert caller.said(Prompt.CONFIRM_NUMBER)


def test_a_field_lasts_thirty_seconds_however_often_a_key_is_pressed():
    caller = Caller()
    caller.heard()
    waits = [caller.keys(digit, each_s=4.0)[-1].seconds for digit in VISA[:7]]
    assert waits == [5.0] * 6 + [2.0]
    assert caller.now_s == 1000.0 + 2 + 28
    caller.silence()
    assert caller.prompts == [Prompt.NUMBER_WRONG, Prompt.ASK_NUMBER]


def test_a_wait_is_never_nothing_for_that_would_stop_the_timer():
    caller = Caller()
    caller.heard()
    readings = iter([caller.now_s + 29.9, caller.now_s + 30.1])
    caller.capture._now_s = lambda: next(readings)
    assert caller.note(caller.capture.key(4)) == [Wait(0.05)]


def test_a_key_after_the_fields_time_ends_it_and_is_not_taken():
    caller = Caller()
    caller.heard()
    caller.keys("4")
    caller.keys("2", each_s=31.0)
    assert caller.prompts == [Prompt.NUMBER_WRONG, Prompt.ASK_NUMBER]
    assert not any(buffers(caller.capture)[0])


def test_a_whole_number_whose_time_ran_out_is_taken():
    caller = Caller()
    caller.keys(VISA)
    caller.keys("9", each_s=31.0)
    assert caller.said(Prompt.CONFIRM_NUMBER)


def test_a_star_clears_the_field_and_gives_it_its_time_again():
    caller = Caller()
    caller.heard()
    caller.keys("4111")
    assert caller.keys("*") == [Say(prompt=Prompt.CLEARED), Wait(PROMPT_MAX_S)]
    assert not any(buffers(caller.capture)[0])
    assert caller.heard() == [Wait(5.0)]
    caller.number()
    assert caller.capture.step is Step.EXPIRY


def test_the_new_time_counts_from_the_first_key_also_while_it_is_said_that_all_is_cleared():
    caller = Caller()
    caller.heard()
    caller.keys("411*", each_s=4.0)
    assert caller.keys("4", each_s=20.0) == [Wait(5.0)]
    assert len(caller.capture.number) == 1


def test_a_star_on_an_empty_field_does_nothing():
    assert Caller().keys("***") == []


def test_clearing_more_than_three_times_is_a_try():
    caller = Caller()
    for _ in range(3 * 4 - 1):
        assert caller.ended is None
        caller.keys("4*")
    assert caller.ended is None
    caller.keys("4*")
    assert caller.ended is not None
    assert caller.ended.result == "tries_exhausted"


def test_keys_after_a_fields_end_are_dropped_and_not_carried_into_the_next():
    caller = Caller()
    assert caller.keys(AMEX)[-1] == Wait(FIELD_SETTLES_S)
    assert caller.keys("1#5*2") == []
    caller.silence()
    assert caller.said(Prompt.CONFIRM_NUMBER), "the 1 confirmed nothing"
    assert caller.keys("1")
    assert caller.keys("1130#") == []
    caller.silence()
    assert caller.capture.step is Step.EXPIRY
    assert len(caller.capture.expiry) == 0


def test_keys_count_while_the_prompt_of_their_field_still_plays():
    caller = Caller()
    caller.everything()
    assert caller.asks_gateway, "nothing was ever heard to its end"


def test_the_end_of_a_prompt_that_was_keyed_over_changes_nothing():
    caller = Caller()
    caller.keys("41")
    assert caller.heard() == []
    caller.keys("*")
    caller.number()
    assert caller.capture.step is Step.EXPIRY


def test_a_prompt_whose_end_nobody_reports_is_over_at_last():
    caller = Caller()
    assert caller.timer_s == PROMPT_MAX_S
    assert caller.silence() == [Wait(5.0)]


@pytest.mark.parametrize("code", [12, 13, 14, 15, 16, -1, 99])
def test_other_keys_are_ignored(code):
    caller = Caller()
    assert caller.capture.key(code) == []
    caller.keys("4")
    assert caller.capture.key(code) == []


# What is wrong.


@pytest.mark.parametrize(
    ("keyed", "prompt"),
    [
        (VISA[:-1] + "#", Prompt.NUMBER_WRONG),
        (VISA[:-1] + "9#", Prompt.NUMBER_WRONG),
        (VISA + "0#", Prompt.NUMBER_WRONG),
        ("4#", Prompt.NUMBER_WRONG),
        ("34#", Prompt.NUMBER_WRONG),
        ("9" * 19, Prompt.NUMBER_WRONG),
        (AMEX, Prompt.BRAND_NOT_ALLOWED),
    ],
)
def test_a_number_that_cannot_be_taken_is_asked_again_three_times_in_all(keyed, prompt):
    caller = Caller(Policy(allowed_brands=("visa", "mastercard")))
    for _ in range(2):
        caller.field(keyed)
        assert caller.prompts == [prompt, Prompt.ASK_NUMBER]
    caller.field(keyed)
    assert caller.ended == Ended(result="tries_exhausted")


def test_a_number_without_a_promised_checksum_is_read_back_with_a_warning():
    caller = Caller(Policy(read_back="full"))
    caller.field(UNIONPAY[:-1] + "6#")
    assert caller.last == [
        Say(prompt=Prompt.NUMBER_UNUSUAL),
        SpeakDigits("number"),
        Say(prompt=Prompt.CONFIRM_NUMBER, brand="unionpay", last_four="0006"),
        Wait(PROMPT_MAX_S),
    ]


@pytest.mark.parametrize(
    ("keyed", "prompt"),
    [
        ("126#", Prompt.EXPIRY_WRONG),
        ("1327", Prompt.EXPIRY_WRONG),
        ("0027", Prompt.EXPIRY_WRONG),
        ("1250", Prompt.EXPIRY_WRONG),
        ("1026", Prompt.EXPIRED),
    ],
)
def test_an_expiry_that_cannot_be_is_asked_again(keyed, prompt):
    caller = at_expiry()
    for _ in range(2):
        caller.field(keyed)
        assert caller.prompts == [prompt, Prompt.ASK_EXPIRY]
    caller.field(keyed)
    assert caller.ended is not None
    assert caller.ended.result == "tries_exhausted"
    assert caller.ended.last_four == VISA[-4:]


def test_three_digits_of_an_expiry_are_asked_again_also_after_silence():
    caller = at_expiry()
    caller.keys("126")
    caller.silence()
    assert caller.prompts == [Prompt.EXPIRY_WRONG, Prompt.ASK_EXPIRY]


def test_the_month_on_the_card_is_still_good():
    caller = Caller(today=date(2026, 11, 30))
    caller.number()
    caller.field("1126")
    assert caller.said(Prompt.CONFIRM_EXPIRY)


# The code.


def test_the_code_is_as_long_as_its_brand_has_it():
    caller = at_code(number=AMEX)
    assert caller.last[0] == Say(prompt=Prompt.ASK_CODE, digits=4)
    assert caller.field("7391")[0] == Say(prompt=Prompt.ASK_CODE_AGAIN, digits=4)
    caller.field("7391")
    assert caller.asks_gateway


def test_a_code_that_is_too_short_is_asked_again():
    caller = at_code()
    caller.field("73#")
    assert caller.prompts == [Prompt.CODE_WRONG, Prompt.ASK_CODE]


def test_two_codes_that_differ_are_both_forgotten_and_count_as_one_try():
    caller = at_code()
    for _ in range(2):
        caller.field("739")
        caller.field("738")
        assert caller.prompts == [Prompt.CODES_DIFFER, Prompt.ASK_CODE]
        assert not any(buffers(caller.capture)[2])
        assert not any(buffers(caller.capture)[3])
    caller.field("739")
    caller.field("73#")
    assert caller.ended is not None
    assert caller.ended.result == "tries_exhausted"


def test_a_cleared_second_code_keeps_the_first():
    caller = at_code()
    caller.field("739")
    caller.field("73*")
    caller.field("739")
    assert caller.asks_gateway


def test_the_second_code_does_not_outlive_the_comparison():
    caller = at_code()
    caller.field("739")
    caller.field("739")
    assert bytes(caller.capture.code.view()) == b"739"
    assert not any(buffers(caller.capture)[3])


def test_a_brand_without_a_code_is_not_asked_for_one(monkeypatch):
    codeless = msgspec.structs.replace(TABLE[0], code_length=0)
    monkeypatch.setattr("tenderline.cardholder.moves.brand_of", lambda digits, allowed: codeless)
    caller = at_expiry()
    caller.expiry()
    assert caller.asks_gateway
    assert caller.restart("code") == []
    caller.answered(TokenRefused("odd", "code"))
    assert caller.ended is not None
    assert caller.ended.result == "card_refused"


def test_what_a_maestro_card_may_lack_is_skipped_with_a_hash_once_the_prompt_was_heard():
    caller = at_expiry(number=MAESTRO)
    assert caller.last[0] == Say(prompt=Prompt.ASK_EXPIRY_OR_NONE, digits=4)
    assert caller.keys("#") == [], "the hash of habit after the answer before"
    caller.heard()
    caller.keys("#")
    assert caller.last[0] == Say(prompt=Prompt.ASK_CODE_OR_NONE, digits=3)
    caller.heard()
    caller.keys("#")
    assert caller.asks_gateway
    caller.answered(Tokenised("tok"))
    assert caller.ended == Ended(result="captured", token="tok", brand="maestro", last_four=MAESTRO[-4:])


def test_a_hash_alone_skips_nothing_that_the_card_has():
    caller = at_expiry()
    caller.heard()
    assert caller.keys("#") == []
    caller = at_code(number=MAESTRO)
    caller.field("739")
    caller.heard()
    assert caller.keys("#") == [], "the second code is no longer a matter of choice"
