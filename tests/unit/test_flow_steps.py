"""Single steps: which exit they leave by, what they keep, and what they never keep; and the texts they say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.scripted_call import NOW, ScriptedBackstage, ScriptedCall
from tenderline.core.condition import Condition, InvalidConditionError
from tenderline.core.money import Money
from tenderline.flows import step, steps, variables
from tenderline.flows.graph import Node
from tenderline.flows.phrase import InvalidTextError, Text, UnspeakableError
from tenderline.flows.run import CALLER_HUNG_UP
from tenderline.flows.spoken import Digits, Number, Words

CARD = "42424242" + "42424242"


def made(name, **parameters):
    """A step of its parameters, as a flow would write them."""
    found, faults = step.read(steps.shipped()[name], Node("n", name, parameters, {}, 1), "en")
    assert found is not None, faults
    return found


def wrong(name, **parameters):
    """What is wrong with the parameters of a step."""
    found, faults = step.read(steps.shipped()[name], Node("n", name, parameters, {}, 1), "en")
    assert found is None
    return "; ".join(said for _, said in faults)


async def left(one, script="", backstage=None, **facts):
    """The exit by which a step is left, and the call behind it."""
    call = ScriptedCall(script, answered=True, **facts)
    exit = await one.run(call, backstage or ScriptedBackstage())
    assert exit in (*one.exits(), *one.ends)
    return exit, call


MENU = {"text": "One or two?", "keys": ["1", "2"], "invalid": "Wrong.", "silence": "Hello?", "tries_max": 2}


@pytest.mark.parametrize(
    ("script", "exit", "heard"),
    [
        ("2", "2", ["One or two?"]),
        ("71", "1", ["One or two?", "Wrong.", "One or two?"]),
        (".1", "1", ["One or two?", "Hello?", "One or two?"]),
        ("7.", "no_input", ["One or two?", "Wrong.", "One or two?"]),
        ("#1", "1", ["One or two?", "One or two?"]),
        (".7", "no_match", ["One or two?", "Hello?", "One or two?"]),
    ],
)
async def test_a_menu_asks_again_and_says_why(script, exit, heard):
    found, call = await left(made("menu", **MENU), script)
    assert (found, call.heard) == (exit, heard)


COLLECT = {"text": "Number?", "variable": "n", "digits_min": 3, "digits_max": 5, "invalid": "No.", "tries_max": 2}


@pytest.mark.parametrize(
    ("script", "exit", "kept"),
    [
        ("123#", "collected", "123"),
        ("12345", "collected", "12345"),
        ("12*3456#", "collected", "3456"),
        ("123.", "collected", "123"),
        ("12#4567#", "collected", "4567"),
        ("12#", "no_input", None),
        (".12#", "invalid", None),
        ("#", "no_input", None),
        ("#123#", "collected", "123"),
        ("##", "no_input", None),
        ("**", "no_input", None),
        ("", "no_input", None),
        ("1AB23#", "collected", "123"),
    ],
)
async def test_digits_end_by_a_key_a_pause_or_their_number(script, exit, kept):
    found, call = await left(made("collect", **COLLECT), script)
    assert (found, call.variables.get("n")) == (exit, kept)


@pytest.mark.parametrize("typed", [CARD, f"{CARD}1", f"{CARD}123", "37828224" + "6310005" + "1227"])
async def test_what_looks_like_a_card_number_is_never_kept(typed):
    one = made("collect", text="Reference?", variable="n", digits_max=20, tries_max=1)
    found, call = await left(one, f"{typed}#")
    assert (found, call.variables) == ("invalid", {})
    assert not variables.is_storable(typed)
    assert not variables.is_storable(int(typed))
    with pytest.raises(step.StepError):
        await left(made("set", variable="n", value=typed))
    backstage = ScriptedBackstage(known={"n": typed})
    _, call = await left(made("lookup", variables=["n"]), backstage=backstage)
    assert call.variables == {"n": None}


@pytest.mark.parametrize(
    ("script", "exit"), [("1", "confirmed"), ("2", "refused"), ("...", "no_input"), ("51", "confirmed")]
)
async def test_a_value_is_confirmed_by_its_key_alone(script, exit):
    one = made("confirm", variable="amount", text="That is {amount:money}. Right?")
    found, call = await left(one, script, variables={"amount": Money(2500, "USD")}, presses_during_prompts=True)
    assert found == exit
    assert call.heard[0] == "That is $25.00 . Right?"


WEEK = {"mon-fri": "09:00-12:30, 14:00-17:00", "sat": "10:00-12:00"}


@pytest.mark.parametrize(
    ("day", "clock", "exit"),
    [
        ("2026-03-04", "09:00", "open"),
        ("2026-03-04", "12:30", "closed"),
        ("2026-03-04", "13:59", "closed"),
        ("2026-03-04", "16:59", "open"),
        ("2026-03-07", "11:00", "open"),
        ("2026-03-08", "11:00", "closed"),
        ("2026-12-25", "11:00", "closed"),
    ],
)
async def test_hours_are_those_of_the_zone_and_close_on_holidays(day, clock, exit):
    one = made("hours", zone="America/New_York", hours=WEEK, holidays="US")
    offset = 5 if day != "2026-03-08" else 4
    at = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC) + timedelta(hours=offset)
    assert (await left(one, backstage=ScriptedBackstage(at=at)))[0] == exit


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"zone": "Mars/Olympus"}, "no time zone"),
        ({"holidays": "XX"}, "no country"),
        ({"hours": {"mon": "9-17"}}, "'9-17' on mon is no span"),
        ({"hours": {"mon": "17:00-09:00"}}, "ends before it begins"),
        ({"hours": {"mon": "09:00-12:00, 11:00-13:00"}}, "overlap"),
        ({"hours": {"mon": "23:00-24:30"}}, "empty"),
        ({"hours": {"fri-mon": "09:00-12:00"}}, "runs backwards"),
        ({"hours": {"mon-fri": "09:00-12:00", "wed": "10:00-11:00"}}, "has its hours already"),
        ({"hours": {"monday": "09:00-12:00"}}, "names no days"),
    ],
)
def test_hours_that_cannot_be_are_refused(changed, said):
    assert said in wrong("hours", **{"zone": "UTC", "hours": WEEK, **changed})


async def test_a_look_up_takes_over_what_the_flow_names_and_nothing_else():
    one = made("lookup", variables=["name", "balance"])
    found, call = await left(one, backstage=ScriptedBackstage(known={"name": "Ann", "secret": "x"}))
    assert (found, call.variables) == ("found", {"name": "Ann", "balance": None})
    assert (await left(one))[0] == "unknown"
    assert (await left(one, backstage=ScriptedBackstage(is_slow=True)))[0] == "timed_out"


async def test_choose_takes_the_first_that_is_true():
    one = made("choose", when={"large": "amount.minor > 1000", "usd": "amount.currency == 'USD'"})
    assert (await left(one, variables={"amount": Money(2000, "USD")}))[0] == "large"
    assert (await left(one, variables={"amount": Money(20, "USD")}))[0] == "usd"
    assert (await left(one, variables={"amount": None}))[0] == "otherwise"
    assert (await left(made("choose", when={"anonymous": "caller == null"}), caller=None))[0] == "anonymous"


async def test_set_makes_money_of_keys():
    one = made("set", variable="amount", expression="int(keyed) * 100", currency="USD")
    found, call = await left(one, variables={"keyed": "25"})
    assert (found, call.variables["amount"]) == ("next", Money(2500, "USD"))
    assert (await left(one, variables={"keyed": "0"}))[0] == "invalid"
    assert (await left(one, variables={"keyed": "x"}))[0] == "invalid"
    assert (await left(made("set", variable="x", expression="[1]")))[0] == "invalid"
    assert made("set", variable="x", value=True).exits() == ("next",)


async def test_a_callback_goes_to_the_caller_or_to_a_number_that_can_be_called():
    one, backstage = made("callback", number="typed", after_s=60), ScriptedBackstage()
    assert (await left(one, backstage=backstage, variables={"typed": "1234"}))[0] == "refused"
    assert (await left(one, backstage=backstage, variables={"typed": "2025550100"}))[0] == "noted"
    assert backstage.asked == [("call_back", "+12025550100", NOW + timedelta(seconds=60))]


async def test_the_world_is_asked_and_its_answer_leads_on():
    answered, call = await left(
        made("webhook", endpoint="crm", sends=["caller"], variables=["tier"]),
        backstage=(backstage := ScriptedBackstage(answer={"tier": "gold"})),
    )
    assert (answered, call.variables) == ("answered", {"tier": "gold"})
    assert backstage.asked == [("post", "crm", {"caller": "+12025550123"})]
    for silent in (ScriptedBackstage(), ScriptedBackstage(is_slow=True)):
        assert (await left(made("webhook", endpoint="crm"), backstage=silent))[0] == "no_answer"
    one = made("message", template="pay_link", values=["language"])
    assert (await left(one))[0] == "planned"
    assert (await left(one, backstage=ScriptedBackstage(accepts=False)))[0] == "refused"


@pytest.mark.parametrize("end", ["transferred", "busy", "no_answer", "failed"])
async def test_a_transfer_is_an_end_only_when_it_is_done(end):
    one = made("transfer", to="sip:desk")
    assert (await left(one, transferred=end))[0] == end
    assert (end in one.ends) == (end == "transferred")


async def test_a_bridge_says_how_it_ended():
    assert (await left(made("bridge", to="+12025550123"), talk="busy"))[0] == "busy"
    assert "Expected `str` matching regex" in wrong("bridge", to="{number}")


def test_a_step_says_all_that_is_wrong_with_it():
    said = wrong("menu", text=5, keys=["x"], tries_max=0, colour="red")
    for piece in ("text: is no text", "keys: Expected `str`", "tries_max: Expected `int` >= 1", "'colour'"):
        assert piece in said


@pytest.mark.parametrize("name", steps.shipped())
def test_every_step_declares_what_the_checker_and_the_reference_ask(name):
    kind = steps.shipped()[name]
    assert kind.__doc__
    assert not set(kind.fixed_exits) & set(kind.ends)
    assert kind.touches <= {"caller", "agent", "database", "network"}
    assert CALLER_HUNG_UP not in kind.ends
    reserved = {"step", "exits", "next"}
    assert not reserved & {field.name for field in step.parameters_of(kind)}


def test_placeholders_become_typed_parts():
    text = Text({"en": "Hello {name}, {{x}} {amount:money} on {day:date}, {ref:digits}: {count:number} or {n}."})
    values = {
        "name": "Ann",
        "amount": Money(500, "USD"),
        "day": datetime(2026, 3, 4, 9, 30, tzinfo=UTC),
        "ref": "A12",
        "count": "42",
        "n": 7,
    }
    assert text.spoken("en", values).parts == (
        Words("Hello"),
        Words("Ann"),
        Words(", {x}"),
        Money(500, "USD"),
        Words("on"),
        date(2026, 3, 4),
        Digits("A12"),
        Number(42),
        Words("or"),
        Number(7),
    )
    assert text.variables == frozenset(values)


@pytest.mark.parametrize(
    ("value", "kind"), [("x", "money"), ("x", "number"), (True, "number"), (5, "date"), (5, "time")]
)
def test_a_value_of_another_kind_is_a_defect_and_none_is_silence(value, kind):
    text = Text({"en": f"It is {{v:{kind}}}"})
    with pytest.raises(UnspeakableError):
        text.spoken("en", {"v": value})
    assert text.spoken("en", {"v": None}).parts == (Words("It is"),)


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_any_text_is_read_or_refused(text):
    try:
        found = Text({"en": text})
    except InvalidTextError:
        return
    assert found.spoken("en", dict.fromkeys(found.variables, 1)).language == "en"


@pytest.mark.parametrize("source", ["", "a ==", "(" * 300 + "1" + ")" * 300, "§", "a b", 5])
def test_what_is_no_cel_is_refused(source):
    with pytest.raises(InvalidConditionError):
        Condition(source)


@pytest.mark.parametrize(
    "source", ["1 / 0 == 1", "x > 3", "x.y == 1", "size(x) > 1", "int('a') == 1", "'a'.matches('(')"]
)
def test_an_expression_without_an_answer_is_not_true(source):
    assert Condition(source).holds({"x": None}) is False


def test_a_name_bound_inside_an_expression_is_no_variable():
    assert Condition("[1, 2].exists(x, x > limit) && size(name) > 2").variables == {"limit", "name"}


@pytest.mark.parametrize(
    ("wait_s", "left_by", "minutes"),
    [(None, "unknown", None), (0.0, "free", None), (0.5, "waits", 2), (120.0, "waits", 2), (121.0, "waits", 3),
     (1e9, "waits", 120)],
)  # fmt: skip
async def test_the_wait_is_told_in_whole_minutes_when_there_is_one(wait_s, left_by, minutes):
    backstage = ScriptedBackstage(wait_s=wait_s)
    step = made("expected_wait", queue="General", variable="minutes")
    exit, call = await left(step, backstage=backstage)
    assert (exit, call.variables.get("minutes")) == (left_by, minutes)
    assert backstage.asked == [("expected_wait_s", "General")]
    assert (await left(step, backstage=ScriptedBackstage(is_slow=True)))[0] == "unknown"


async def test_alert_tells_the_supervisors_and_the_flow_knows():
    backstage = ScriptedBackstage()
    exit, call = await left(made("alert", reason="pressed 9"), backstage=backstage)
    assert exit == "told"
    assert call.variables["distress"] is True
    assert backstage.asked == [("alert", "pressed 9")]
