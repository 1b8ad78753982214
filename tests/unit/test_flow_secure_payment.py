"""The flow that an agent calls on a call that lasts: however it goes, the caller comes back with a result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.scripted_call import KeptPath, ScriptedBackstage, ScriptedCall
from tenderline.core.money import Money
from tenderline.flows import check, run, shipped

GIFT = Money(2500, "USD")
RESULTS = {"success", "pending", "declined", "abandoned", "system_problem", "distress"}


async def call_of(script, backstage=None, cards=(), amount=GIFT, hangs_up_at=None, **variables):
    call = ScriptedCall(script=script, cards=list(cards), answered=True, hangs_up_at=hangs_up_at)
    call.variables.update(variables)
    if amount is not None:
        call.variables["amount"] = amount
    path, backstage = KeptPath(), backstage or ScriptedBackstage()
    end = await run.run(shipped.flow("secure_payment"), call, backstage, path)
    return end, call, backstage, path


def asked(backstage, what):
    return [one for one in backstage.asked if one[0] == what]


async def test_an_agents_amount_is_confirmed_not_keyed_and_the_caller_comes_back():
    end, call, backstage, path = await call_of("1")
    assert end == "returned"
    assert not call.ended
    assert "how_much" not in path.nodes
    assert asked(backstage, "begin_payment") == [("begin_payment", GIFT)]
    known = {name: call.variables[name] for name in ("payment_result", "reference", "last_four", "brand")}
    assert known == {"payment_result": "success", "reference": "12345678", "last_four": "4242", "brand": "visa"}


async def test_without_an_agents_amount_the_caller_keys_one():
    _, call, backstage, path = await call_of("25*50#" + "1", amount=None)
    assert "how_much" in path.nodes
    assert asked(backstage, "begin_payment") == [("begin_payment", Money(2550, "USD"))]
    assert call.variables["payment_result"] == "success"


@pytest.mark.parametrize(
    ("script", "how", "result"),
    [
        ("1", {"backstage": ScriptedBackstage(settled="PENDING")}, "pending"),
        ("1", {"backstage": ScriptedBackstage(charges=["unknown"], settled="PENDING")}, "pending"),
        ("1", {"backstage": ScriptedBackstage(settled="FAILED")}, "declined"),
        ("1", {"backstage": ScriptedBackstage(charges=["declined"] * 3)}, "declined"),
        ("1", {"backstage": ScriptedBackstage(charges=["failed"])}, "system_problem"),
        ("1", {"backstage": ScriptedBackstage(accepts=False)}, "system_problem"),
        ("1", {"cards": ["abandoned"]}, "abandoned"),
        ("1", {"cards": ["tries_exhausted"]}, "abandoned"),
        ("1", {"cards": ["system_problem"]}, "system_problem"),
        ("2", {}, "abandoned"),
        ("...", {}, "abandoned"),
        ("......", {"amount": None}, "abandoned"),
        ("1", {"distress": True}, "distress"),
        ("1", {"amount": Money(0, "USD")}, "system_problem"),
        ("1", {"amount": Money(10**11, "USD")}, "system_problem"),
        ("1", {"amount": Money(2500, "EUR")}, "system_problem"),
        ("1", {"amount": "25.00"}, "system_problem"),
    ],
)
async def test_every_way_ends_with_its_result(script, how, result):
    end, call, backstage, _ = await call_of(script, **how)
    assert (end, call.variables["payment_result"]) == ("returned", result)
    assert not call.ended
    if result in ("abandoned", "distress", "system_problem"):
        assert "taken" not in backstage.charges
        assert not any(text.startswith("Thank you. $") for text in call.heard)


async def test_as_many_cards_may_be_declined_as_the_agent_was_told():
    backstage = ScriptedBackstage(charges=["declined"] * 9)
    await call_of("1", backstage, max_declines=1)
    assert len(asked(backstage, "charge")) == 1


async def test_when_the_bank_was_asked_and_nobody_can_say_more_it_is_pending_and_not_a_problem():
    class Away(ScriptedBackstage):
        async def settlement(self, payment_id, *, timeout_s):
            raise OSError("the database is away")

    end, call, backstage, _ = await call_of("1", Away())
    assert (end, call.variables["payment_result"]) == ("returned", "pending")
    assert len(asked(backstage, "charge")) == 1


async def test_when_the_answer_of_a_charge_is_lost_it_is_pending_with_its_reference_and_of_a_refusal_nothing_stays():
    class Away(ScriptedBackstage):
        async def charge(self, payment_id, card):
            if await super().charge(payment_id, card) == "taken":
                raise OSError("the database is away, and the money on its way")
            return "declined"

    end, call, backstage, _ = await call_of("1", Away(charges=["declined", "taken"]))
    assert (end, call.variables["payment_result"], call.variables["payment"]) == ("returned", "pending", "1")
    assert len(asked(backstage, "charge")) == 2
    assert "<12345678>" in " ".join(call.heard)
    _, call, _, _ = await call_of("1", Away(charges=["declined"] * 3))
    assert (call.variables["payment"], call.variables["reference"]) == ("", "")
    assert "last_four" not in call.variables


async def test_a_second_payment_on_the_same_call_knows_nothing_of_the_first():
    _, first, backstage, _ = await call_of("1")
    second = ScriptedCall(answered=True, script="1", variables=first.variables)
    backstage.accepts = False
    assert await run.run(shipped.flow("secure_payment"), second, backstage, KeptPath()) == "returned"
    assert second.variables["payment_result"] == "system_problem"


async def test_who_hangs_up_while_the_bank_is_asked_leaves_a_payment_that_is_pending():
    results = set()
    for at in range(12):
        end, call, _, _ = await call_of("1", hangs_up_at=at)
        if end == "caller_hung_up":
            taken = call.variables.get("payment") not in (None, "")
            assert call.variables.get("payment_result") in (
                ("pending", "success") if taken else (None, "system_problem")
            )
            results.add(call.variables.get("payment_result"))
    assert "pending" in results


async def test_a_flow_that_fails_twice_does_not_hang_up_on_whoever_waits():
    class Mute(ScriptedCall):
        async def say(self, spoken, *, cut_by_key):
            raise OSError("no voice")

    call = Mute(answered=True)
    call.variables["amount"] = GIFT
    assert await run.run(shipped.flow("secure_payment"), call, ScriptedBackstage(), KeptPath()) == "failed"
    assert not call.ended


@given(
    script=st.text("0123456789*#.!", max_size=25),
    charges=st.lists(st.sampled_from(["taken", "declined", "unknown", "failed"]), max_size=3),
    cards=st.lists(st.sampled_from(["abandoned", "system_problem", "cancelled"]), max_size=1),
    amount=st.sampled_from([None, GIFT, Money(0, "USD"), "x"]),
    distress=st.booleans(),
)
async def test_whatever_happens_the_caller_comes_back_or_has_hung_up(script, charges, cards, amount, distress):
    backstage = ScriptedBackstage(charges=charges)
    end, call, _, _ = await call_of(script, backstage, cards, amount, distress=distress)
    assert end in ("returned", "caller_hung_up")
    assert not call.hung_up_by_us
    if end == "returned":
        assert call.variables["payment_result"] in RESULTS
    assert sum(one[0] == "charge" for one in backstage.asked) <= 3


def test_a_flow_that_returns_does_not_end_the_call_as_well():
    assert check.returns(shipped.flow("secure_payment"))
    assert not check.returns(shipped.flow("donation"))
    text = shipped.text("secure_payment").replace('[node.back]\nstep = "return"', '[node.back]\nstep = "hangup"')
    _, faults = check.check_text("x.toml", text)
    assert not faults
    text = shipped.text("secure_payment").replace(
        'value = "distress"\nnext = "back"', 'value = "distress"\nnext = "end"'
    )
    _, faults = check.check_text("x.toml", text + '\n[node.end]\nstep = "hangup"\n')
    assert [(fault.node, "gives the caller back" in fault.said) for fault in faults] == [("end", True)]
