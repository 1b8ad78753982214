"""Whose account it is, how much of it is paid, and every way out of the flow that pays an invoice."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.scripted_call import KeptPath, ScriptedBackstage, ScriptedCall
from tenderline.core.money import Money
from tenderline.flows import check, run, shipped
from tenderline.flows.call import CallEndedError, Identified, PaymentTerms
from tenderline.flows.graph import Node
from tenderline.flows.step import read
from tenderline.flows.steps import shipped as steps
from tenderline.flows.variables import of

OWED = Money(12_550, "USD")
PERSON = "01890000-0000-7000-8000-000000000000"
ANN = Identified("12345", PERSON, "Ann", OWED)
WHO = "1" + "12345#" + "4711#"
ALL = WHO + "1" + "1"


def knows(**more):
    return ScriptedBackstage(accounts={("12345", "4711"): ANN, ("12345", ""): ANN}, **more)


async def call_of(script, backstage=None, cards=(), hangs_up_at=None, **variables):
    call = ScriptedCall(script=script, cards=list(cards), hangs_up_at=hangs_up_at)
    call.variables.update(currency="USD", **variables)
    path, backstage = KeptPath(), backstage or knows()
    with suppress(CallEndedError):
        await call.answer()
        await run.run(shipped.flow("pay_invoice"), call, backstage, path)
    return call, backstage, path


def asked(backstage, what):
    return [one for one in backstage.asked if one[0] == what]


async def test_all_that_is_owed_is_paid_by_one_key():
    call, backstage, path = await call_of(ALL)
    assert any("<" not in text and "Your balance is $125.50" in text for text in call.heard)
    assert asked(backstage, "begin_payment") == [("begin_payment", OWED)]
    assert (path.nodes[-1], call.variables["person_id"]) == ("thanks", PERSON)


async def test_another_amount_is_keyed():
    _, backstage, path = await call_of(WHO + "2" + "25*50#" + "1")
    assert asked(backstage, "begin_payment") == [("begin_payment", Money(2550, "USD"))]
    assert path.nodes[-1] == "thanks"


@pytest.mark.parametrize(
    ("script", "how", "nodes"),
    [
        (ALL, {"backstage": knows(settled="PENDING")}, {"later"}),
        (ALL, {"backstage": knows(settled="FAILED")}, {"after_declines", "somebody"}),
        (ALL, {"backstage": knows(charges=["unknown"], settled="PENDING")}, {"later"}),
        (ALL, {"backstage": knows(charges=["declined"] * 3)}, {"after_declines", "somebody"}),
        (ALL, {"backstage": knows(charges=["failed"])}, {"trouble", "somebody"}),
        (ALL, {"cards": ["abandoned"]}, {"after_silence", "somebody"}),
        (ALL, {"cards": ["system_problem"]}, {"trouble", "somebody"}),
        (ALL, {"distress": True}, {"distressed", "somebody"}),
        ("1" + "12345#1111#" * 3, {}, {"not_identified", "somebody"}),
        ("1" + "......", {}, {"not_identified", "somebody"}),
        (ALL, {"backstage": knows(is_slow=True)}, {"not_identified", "somebody"}),
        (WHO + "2" + "1#", {}, {"too_little"}),
        (WHO + "2" + "126#", {}, {"too_much", "somebody"}),
        (WHO + "2" + "1000000000#", {}, {"too_much", "somebody"}),
        (WHO + "2" + "0#0*004#0*00#", {}, {"no_such_amount", "somebody"}),
        (WHO + "...", {}, {"goodbye"}),
        (ALL, {"currency": "EUR"}, {"no_such_amount", "somebody"}),
        ("2", {}, {"somebody"}),
        ("9", {}, {"stop", "stopped"}),
        ("3" + "2" + ALL, {}, {"other_language", "thanks"}),
    ],
)
async def test_every_way_leads_where_it_says(script, how, nodes):
    how = dict(how)
    backstage = how.pop("backstage", None) or knows()
    call = ScriptedCall(script=script, cards=list(how.pop("cards", ())))
    call.variables.update({"currency": "USD"} | how)
    path = KeptPath()
    await run.run(shipped.flow("pay_invoice"), call, backstage, path)
    assert nodes <= set(path.nodes)
    assert call.ended
    if "thanks" not in nodes:
        assert not any("has arrived" in text for text in call.heard)


async def test_nothing_owed_is_said_and_nothing_is_asked():
    nothing = Identified("12345", PERSON, "Ann", None)
    _, backstage, path = await call_of(WHO, ScriptedBackstage(accounts={("12345", "4711"): nothing}))
    assert "nothing_owed" in path.nodes
    assert not asked(backstage, "begin_payment")


async def test_whoever_helps_knows_how_far_the_caller_came():
    call, _, _ = await call_of("1" + "12345#1111#" * 3)
    assert (call.variables["how_far"], call.variables["claimed"]) == ("account", "12345")
    assert "account" not in call.variables
    assert "person_id" not in call.variables
    call, _, _ = await call_of("1......")
    assert (call.variables["how_far"], call.variables["claimed"]) == ("nothing", "")
    call, _, _ = await call_of(WHO, knows(is_slow=True))
    assert call.variables["how_far"] == "system_problem"


async def test_a_pin_is_keyed_where_nobody_hears_it_and_is_kept_nowhere(caplog):
    caplog.set_level(logging.DEBUG)
    call, backstage, path = await call_of("1" + "12345#" + "8642#" + "12345#" + "8642#")
    asks = call.heard.index("[unheard]")
    assert "PIN" in call.heard[asks + 1]
    assert call.heard[asks + 2] == "[heard again]"
    for kept in (call.variables, backstage.asked, path.steps, call.heard, caplog.text):
        assert "8642" not in str(kept)


async def test_the_account_of_the_number_is_offered_and_the_pin_is_asked_for_all_the_same():
    call, backstage, path = await call_of("1" + "1" + "4711#" + "1" + "1", knows(callers_account=("12345", "Ann")))
    assert any("ends in <345>" in text for text in call.heard)
    assert asked(backstage, "identify") == [("identify", "12345", "pin")]
    assert path.nodes[-1] == "thanks"


async def test_who_says_no_to_the_offer_keys_another_account():
    _, backstage, _ = await call_of("1" + "2" + "777#" + "1234#", knows(callers_account=("12345", "Ann")))
    assert asked(backstage, "identify")[0] == ("identify", "777", "pin")


def step(kind, **parameters):
    node = Node("n", kind, parameters, {}, 1)
    made, faults = read(steps()[kind], node, "en")
    assert not faults, faults
    return made


async def left(kind, script="", backstage=None, variables=None, **parameters):
    call = ScriptedCall(script, answered=True)
    call.variables.update({"currency": "USD"} | (variables or {}))
    return await step(kind, **parameters).run(call, backstage or knows()), call


async def test_the_number_and_a_key_are_proof_only_where_that_was_set():
    asks = {"text": "Account?", "proof_text": "PIN?", "offer": "{match_name}?"}
    backstage = knows(callers_account=("12345", "Ann"))
    exit, call = await left("identify", "1", backstage, offer_is_proof=True, **asks)
    assert (exit, call.variables["how_far"], call.heard) == ("identified", "caller", ["Ann"])
    exit, _ = await left("identify", "1", backstage, **asks)
    assert exit == "no_input"


@pytest.mark.parametrize(
    ("known", "exit"),
    [
        (Money(2500, "USD"), "entered"),
        (Money(0, "USD"), "invalid"),
        (Money(-5, "USD"), "invalid"),
        (Money(2500, "EUR"), "invalid"),
        (Money(10**13, "USD"), "invalid"),
        (Money(10**11, "USD"), "above_maximum"),
        (Money(99, "USD"), "below_minimum"),
        ("25", "invalid"),
        (25, "invalid"),
    ],
)
async def test_an_agents_amount_is_taken_without_a_question_or_refused(known, exit):
    found, call = await left("amount", "", None, {"wanted": known}, text="How much?", known="wanted")
    assert (found, call.heard) == (exit, [])
    assert ("amount" in call.variables) == (exit == "entered")


async def test_limits_come_from_variables_and_what_holds_for_all_holds_here_too():
    limits = {"least": Money(1000, "USD"), "most": Money(2000, "USD")}
    named = {"text": "How much?", "minimum_from": "least", "maximum_from": "most"}
    for keyed, exit in (("9#", "below_minimum"), ("10#", "entered"), ("20#", "entered"), ("21#", "above_maximum")):
        assert (await left("amount", keyed, None, limits, **named))[0] == exit
    backstage = ScriptedBackstage(terms=PaymentTerms(minimum=12, maximum=15))
    for keyed, exit in (("11#", "below_minimum"), ("12#", "entered"), ("16#", "above_maximum")):
        assert (await left("amount", keyed, backstage, limits, **named))[0] == exit


async def test_a_small_balance_may_be_paid_whole():
    offers = {"text": "How much?", "balance": "owed", "balance_text": "{owed:money}?", "minimum": 5}
    assert (await left("amount", "1", None, {"owed": Money(300, "USD")}, **offers))[0] == "entered"
    assert (await left("amount", "23#", None, {"owed": Money(300, "USD")}, **offers))[0] == "below_minimum"
    assert (await left("amount", "7#", None, {"owed": None}, **offers))[0] == "entered"


@given(st.text("0123456789*#.", max_size=40), st.integers(1, 5))
async def test_nobody_is_asked_more_often_than_allowed_or_known_without_the_right_pair(script, tries_max):
    backstage = knows()
    exit, call = await left("identify", script, backstage, text="A?", proof_text="P?", tries_max=tries_max)
    assert len(asked(backstage, "identify")) <= tries_max
    assert sum(text == "A?" for text in call.heard) <= 2 * tries_max
    assert (exit == "identified") == ("person_id" in call.variables)
    if exit == "identified":
        assert "12345" in script
        assert "4711" in script


async def test_a_hang_up_anywhere_charges_once_at_most_and_leaves_no_payment_open():
    for at in range(40):
        _, backstage, _ = await call_of(ALL, hangs_up_at=at)
        begun, charged, left_ = (len(asked(backstage, one)) for one in ("begin_payment", "charge", "leave_payment"))
        assert charged <= 1
        assert begun == charged + left_


def test_a_text_may_name_what_its_step_finds_out_and_no_other_step_may():
    text = shipped.text("pay_invoice")
    _, faults = check.check_text("x.toml", text.replace("Goodbye.", "Goodbye {match_end:digits}.", 1))
    assert faults
    assert "match_end" in str(faults[0])
    assert set(of(ScriptedCall())) == {"caller", "called", "language"}
