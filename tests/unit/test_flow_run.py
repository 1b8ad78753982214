"""Flows on scripted calls: every exit, hang-ups at every point, and keys nobody expected."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.scripted_call import KeptPath, ScriptedBackstage, ScriptedCall
from tenderline.core.money import Money
from tenderline.flows import cel, load, phrase, run, shipped
from tenderline.flows.spoken import Digits, Number, Spoken, Words

FLOWS = {name: load.read(name, text) for name, text in shipped.texts().items()}


async def take(name, call, backstage=None):
    path = KeptPath()
    why = await run.run(FLOWS[name], call, backstage or ScriptedBackstage(), path)
    return why, path


async def test_a_caller_speaks_with_somebody():
    call = ScriptedCall(["1"])
    why, path = await take("welcome", call)
    assert why == "thanks"
    assert "record True" in call.did
    assert call.did.index("record True") < call.did.index("queue general")
    assert path.nodes == ["greeting", "opening", "menu", "announce", "record", "agents", "thanks"]


async def test_who_presses_nine_is_left_alone():
    backstage = ScriptedBackstage()
    why, _ = await take("welcome", ScriptedCall(["9"]), backstage)
    assert why == "left_alone"
    assert backstage.did == [("opt out", "+12025550100")]


async def test_who_cannot_be_left_alone_hears_that_it_did_not_work():
    call = ScriptedCall(["9"])
    why, _ = await take("welcome", call, ScriptedBackstage(works=False))
    assert why == "trouble"
    assert "Something went wrong" in call.said[-1]


@pytest.mark.parametrize("end", ["timed_out", "nobody"])
async def test_who_reaches_nobody_is_called_back(end):
    backstage = ScriptedBackstage()
    why, _ = await take("welcome", ScriptedCall(["1"], queue=end), backstage)
    assert why == "noted"
    assert backstage.did == [("call back", "+12025550100")]


async def test_at_night_and_on_holidays_it_is_closed():
    for now in (datetime(2026, 11, 18, 3, tzinfo=UTC), datetime(2026, 12, 25, 15, tzinfo=UTC)):
        _, path = await take("welcome", ScriptedCall(), ScriptedBackstage(now=now))
        assert "closed" in path.nodes


async def test_hours_begin_with_their_minute_and_end_before_theirs():
    step = FLOWS["welcome"].nodes["opening"].step
    at = {  # New York is five hours behind UTC in November
        (13, 59): False, (14, 0): True, (21, 59): True, (22, 0): False
    }  # fmt: skip
    for (hour, minute), expected in at.items():
        assert step.is_open(datetime(2026, 11, 18, hour, minute, tzinfo=UTC)) is expected


async def test_spanish_is_spoken_to_who_asks_for_it_and_english_again():
    call = ScriptedCall(["3", "3", "1"])
    _, path = await take("welcome", call)
    assert path.nodes.count("menu") == 3
    menus = [one for one in call.said if "9" in one]
    assert "Para hablar" in menus[1]
    assert "To speak" in menus[2].split(".")[0]


async def test_a_line_check_keeps_the_keys_it_reads_back():
    call = ScriptedCall(list("45*12#"))
    await take("line_check", call)
    assert call.variables["keys"] == "12"
    assert "12" in " ".join(call.said)


async def test_a_card_number_is_not_collected():
    call = ScriptedCall([*("4242" * 4), "#"] * 3)
    why, _ = await take("line_check", call)
    assert "keys" not in call.variables or len(call.variables["keys"]) <= 10
    assert why == "bye"


@pytest.mark.parametrize("name", FLOWS)
async def test_a_hang_up_at_every_point_ends_the_flow(name):
    for after in range(40):
        call = ScriptedCall(["1", "2", "#", "9"], ends_after=after)
        why, path = await take(name, call)
        assert why == run.HUNG_UP or why in FLOWS[name].nodes
        assert len(path.nodes) == len(path.exits)


@given(
    st.sampled_from(sorted(FLOWS)),
    st.lists(st.sampled_from([*"0123456789*#ABCD", None]), max_size=30),
    st.sampled_from(["talked", "timed_out", "nobody"]),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 30)),
)
async def test_whatever_is_pressed_every_call_ends(name, pressed, queue, works, ends_after):
    call = ScriptedCall(pressed, queue=queue, ends_after=ends_after)
    why, path = await take(name, call, ScriptedBackstage(works=works))
    assert call.gone
    assert why == run.HUNG_UP or why in FLOWS[name].nodes
    assert len(path.nodes) == len(path.exits) <= run.STEPS_MAX


def test_values_are_put_in_their_places():
    known = {"amount": Money(2510, "USD"), "code": "A1", "n": 3, "name": None}
    said = phrase.spoken("You give {amount:money}, {name}code {code:digits}, {n:number} times.", "en", known)
    assert (
        said
        == Spoken(
            "en", (Words("You give"), Money(2510, "USD"), Words("code"), Digits("A1"), Number(3), Words("times."))
        )
        or Words(", ") not in said.parts
    )
    assert [type(one).__name__ for one in said.parts][:2] == ["Words", "Money"]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("balance.minor > 500000", True),
        ("balance.currency == 'EUR'", False),
        ("name != 'Y'", True),
        ("nothing > 5", False),
        ("nothing == null", True),
        ("name + 1 > 2", False),
        ("1", False),
    ],
)
def test_conditions_hold_or_not_and_never_fail(condition, holds):
    known = {"balance": Money(600000, "USD"), "name": "X", "nothing": None}
    assert cel.holds(condition, known) is holds
