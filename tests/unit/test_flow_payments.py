"""Steps and flows that take money: what is charged, and that nobody is thanked before the bank's word."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.scripted_call import KeptPath, ScriptedBackstage, ScriptedCall
from tenderline.cardholder.messages import Prompt
from tenderline.core.money import Money
from tenderline.flows import card_words, check, run, shipped
from tenderline.flows.call import CallEndedError
from tenderline.flows.graph import InvalidFlowError
from tenderline.flows.steps.amount import money_of

THANKS = "Thank you. Your gift of"
GIFT = "1" + "25#" + "1"


async def call_of(script, backstage=None, cards=(), **more):
    call = ScriptedCall(script=script, cards=list(cards), **more)
    call.variables.update(organisation="Hope House", campaign="spring", currency="USD", fund=None)
    path, backstage = KeptPath(), backstage or ScriptedBackstage()
    await call.answer()
    await run.run(shipped.flow("donation"), call, backstage, path)
    return call, backstage, path


def asked(backstage, what):
    return [one for one in backstage.asked if one[0] == what]


async def test_a_gift_goes_its_way():
    call, backstage, path = await call_of(GIFT)
    assert asked(backstage, "begin_payment") == [("begin_payment", Money(2500, "USD"))]
    assert len(asked(backstage, "charge")) == 1
    assert path.nodes[-1] == "thanks"
    assert any(text.startswith(THANKS) and "<12345678>" in text for text in call.heard)


@pytest.mark.parametrize(("settled", "last"), [("PENDING", "later"), ("FAILED", "goodbye")])
async def test_without_the_banks_word_nobody_is_thanked(settled, last):
    call, backstage, path = await call_of(GIFT, ScriptedBackstage(settled=settled))
    assert path.nodes[-1] == last
    assert not any(text.startswith(THANKS) for text in call.heard)
    assert len(asked(backstage, "charge")) == 1


async def test_an_answer_that_nobody_knows_is_waited_for_and_not_charged_again():
    _, backstage, path = await call_of(GIFT, ScriptedBackstage(charges=["unknown"], settled="PENDING"))
    assert len(asked(backstage, "charge")) == 1
    assert path.nodes[-1] == "later"
    assert not asked(backstage, "leave_payment")


async def test_three_cards_are_declined_and_somebody_helps():
    _, backstage, path = await call_of(GIFT, ScriptedBackstage(charges=["declined"] * 5))
    assert len(asked(backstage, "charge")) == 3
    assert ("card", "declined") in path.steps
    assert asked(backstage, "leave_payment") == [("leave_payment", "declined")]


@pytest.mark.parametrize(
    ("card", "exit"),
    [
        ("abandoned", "abandoned"),
        ("tries_exhausted", "abandoned"),
        ("cancelled", "abandoned"),
        ("system_problem", "system_problem"),
        ("card_refused", "system_problem"),
    ],
)
async def test_a_card_that_is_not_captured_charges_nothing(card, exit):
    _, backstage, path = await call_of(GIFT, cards=[card])
    assert ("card", exit) in path.steps
    assert not asked(backstage, "charge")
    assert asked(backstage, "leave_payment") == [("leave_payment", card)]


async def test_a_hang_up_anywhere_leaves_the_payment_and_charges_once_at_most():
    for at in range(30):
        backstage = ScriptedBackstage()
        call = ScriptedCall(script=GIFT, hangs_up_at=at)
        call.variables.update(currency="USD")
        with suppress(CallEndedError):
            await call.answer()
            await run.run(shipped.flow("donation"), call, backstage, KeptPath())
        assert len(asked(backstage, "charge")) <= 1
        assert [one[1] for one in asked(backstage, "leave_payment")] in ([], ["hung_up"])
        begun, charged, left = (len(asked(backstage, one)) for one in ("begin_payment", "charge", "leave_payment"))
        assert begun == charged + left, f"hung up at {at}"


@pytest.mark.parametrize(
    ("keyed", "currency", "minor"),
    [
        ("25", "USD", 2500), ("25*50", "USD", 2550), ("25*5", "USD", 2550), ("*50", "USD", 50), ("0", "USD", None),
        ("0*00", "USD", None), ("0*004", "USD", None), ("25*505", "USD", None), ("2*5*0", "USD", None),
        ("500", "JPY", 500), ("500*5", "JPY", None), ("500*", "JPY", None), ("1000000000000", "USD", None),
        ("*", "USD", None), ("25*", "USD", 2500), ("1*234", "BHD", 1234),
    ],
)  # fmt: skip
def test_amounts_as_they_are_keyed(keyed, currency, minor):
    found = money_of(keyed, currency)
    assert (found.minor if found else None) == minor


@given(st.text("0123456789*", max_size=14))
def test_no_keys_make_an_amount_that_is_none(keyed):
    found = money_of(keyed, "USD")
    assert found is None or found.minor > 0


@pytest.mark.parametrize(
    ("keys", "node"), [("1#", "too_little"), ("9999#", "too_much"), ("4*99#", "too_little"), ("5000#", "is_it_right")]
)
async def test_what_is_too_little_or_too_much_has_its_own_way(keys, node):
    _, _, path = await call_of("1" + keys)
    assert node in path.nodes


def test_every_prompt_of_a_card_has_its_sentence_in_each_language():
    assert set(card_words.TEXTS) == {one.value for one in Prompt}
    for text in card_words.TEXTS.values():
        assert set(text.by_language) == {"en", "es"}
        names = {language: {one.variable for one in text.placeholders} for language in text.by_language}
        assert names["en"] == names["es"]


def test_a_card_is_never_taken_while_it_is_recorded_or_before_the_amount_is_confirmed():
    text = shipped.text("donation")
    recorded = text.replace('step = "capture"', 'step = "capture"').replace(
        "[node.card]", '[node.rec]\nstep = "record_on"\nnext = "card"\n\n[node.card]'
    )
    recorded = recorded.replace('confirmed = "card"', 'confirmed = "rec"')
    _, faults = check.check_text("donation.toml", recorded)
    assert any(fault.node == "card" and "recording_off" in str(fault) for fault in faults)
    _, faults = check.check_text("donation.toml", text.replace('entered = "is_it_right"', 'entered = "card"'))
    assert any(fault.node == "card" and "amount_confirmed" in str(fault) for fault in faults)


PROVIDER = """
name = "provider"
title = "A provider"
language = "en"
start = "how_much"

[given]
currency = "USD"

[node.how_much]
step = "amount"
text = "How much?"
exits = { entered = "right", below_minimum = "bye", above_maximum = "bye", no_input = "bye", invalid = "bye" }

[node.right]
step = "confirm"
variable = "amount"
text = "{amount:money}. Press 1."
exits = { confirmed = "card", refused = "bye", no_input = "bye" }

[node.card]
step = "provider_capture"
exits = { busy = "bye", system_problem = "bye" }

[node.bye]
step = "hangup"
text = "Bye."
"""


@pytest.mark.parametrize(
    ("went", "accepts", "left", "left_why"),
    [
        ("transferred", True, "transferred", []),
        ("busy", True, "busy", [("leave_payment", "system_problem")]),
        ("failed", True, "system_problem", [("leave_payment", "system_problem")]),
        ("transferred", False, "system_problem", []),
    ],
)
async def test_a_provider_takes_the_caller_or_the_payment_is_left(went, accepts, left, left_why):
    call = ScriptedCall(script="25#1", transferred=went)
    path, backstage = KeptPath(), ScriptedBackstage(accepts=accepts)
    await call.answer()
    await run.run(check.checked("provider.toml", PROVIDER), call, backstage, path)
    assert ("card", left) in path.steps
    assert asked(backstage, "leave_payment") == left_why


def test_a_provider_is_not_asked_before_the_amount_is_confirmed():
    with pytest.raises(InvalidFlowError, match="confirm"):
        check.checked("provider.toml", PROVIDER.replace('entered = "right"', 'entered = "card"'))
