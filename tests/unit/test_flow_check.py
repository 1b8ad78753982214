"""The checker: one planted fault of each kind is named with its file, line and node, and a right flow has none."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.scripted_call import KeptPath, ScriptedBackstage, ScriptedCall
from tenderline.flows import dataflow, shipped, steps, toml_lines
from tenderline.flows.check import check, check_text, checked, words_of
from tenderline.flows.dataflow import Edge
from tenderline.flows.graph import InvalidFlowError
from tenderline.flows.load import load
from tenderline.flows.prepare import prepare
from tenderline.flows.run import run
from tenderline.flows.step import RECORDING_OFF, Facts, Step, confirmed

GOOD = """\
name = "donation"
title = "Donation line"
language = "en"
languages = ["en", "es"]
start = "greeting"

[node.greeting]
step = "say"
text = { en = "Welcome. This call may be recorded.", es = "Bienvenido. Esta llamada puede ser grabada." }
cut_by_key = false
announces_recording = true
next = "record"

[node.record]
step = "record_on"
next = "ask"

[node.ask]
step = "collect"
text = { en = "How many dollars?", es = "¿Cuántos dólares?" }
variable = "keyed"
digits_max = 4
exits = { collected = "amount", no_input = "bye", invalid = "bye" }

[node.amount]
step = "set"
variable = "amount"
expression = "int(keyed) * 100"
currency = "USD"
exits = { next = "size", invalid = "bye" }

[node.size]
step = "choose"
when = { large = "amount.minor > 500000", small = "amount.minor < 100" }
exits = { large = "agent", small = "ask", otherwise = "sure" }

[node.agent]
step = "queue"
queue = "donors"
exits = { talked = "bye", timed_out = "bye", nobody = "bye" }

[node.sure]
step = "confirm"
variable = "amount"
text = { en = "That is {amount:money}. Right?", es = "Son {amount:money}. ¿Correcto?" }
exits = { confirmed = "silent", refused = "ask", no_input = "bye" }

[node.silent]
step = "record_off"
next = "card"

[node.card]
step = "capture"
exits = { taken = "bye", declined = "sure" }

[node.bye]
step = "hangup"
text = { en = "Goodbye.", es = "Adiós." }
"""


class Capture(Step, frozen=True):
    """What the step that takes a card will declare: nothing more is needed to keep flows to it."""

    needs: ClassVar[Facts] = frozenset({confirmed("amount"), RECORDING_OFF})
    fixed_exits: ClassVar[tuple[str, ...]] = ("taken", "declined")

    def waits_on(self, exit):
        return True

    async def run(self, call, backstage):
        return "declined" if await call.key(timeout_s=1) == "1" else "taken"


KNOWN = {**steps.shipped(), "capture": Capture}


def line_of(text: str, piece: str) -> int:
    """The line on which a piece first stands."""
    assert piece in text, piece
    return text.count("\n", 0, text.index(piece)) + 1


def faults_of(text: str) -> list[str]:
    """All faults, as they are shown."""
    return [str(fault) for fault in check_text("donation.toml", text, KNOWN)[1]]


def test_a_right_flow_has_no_fault():
    assert faults_of(GOOD) == []


# (what is replaced, by what, on the line of which piece, at which node, what is said)
PLANTED = {
    "not TOML": ('start = "greeting"', "start = greeting", "start =", "", "is not valid TOML"),
    "unknown key at the top": ('title = "Donation line"', 'title = "D"\ntitel = "E"', "titel", "", "'titel'"),
    "a title is missing": ('title = "Donation line"\n', "", "name =", "", "needs 'title'"),
    "a language that is none": ('"en", "es"]', '"en", "es", "español"]', "languages", "", "languages is a list"),
    "no such start": ('start = "greeting"', 'start = "greetin"', "start", "", "did you mean greeting?"),
    "no such node for errors": ("start =", 'on_error = "oops"\nstart =', "on_error", "", "'oops'"),
    "a given name is built in": ("[node.greeting]", "[given]\ncaller = 1\n[node.greeting]", "caller", "", "'caller'"),
    "apology in one language": ("start =", 'apology = "Oh."\nstart =', "apology", "", "apology is missing in es"),
    "apology with a variable": (
        "start =",
        'apology = { en = "Oh {x}.", es = "Oh." }\nstart =',
        "apology",
        "",
        "apology names a variable",
    ),
    "no step": ('step = "record_off"\n', "", "[node.silent]", "silent", "needs 'step'"),
    "unknown step": ('"record_off"', '"record_of"', '"record_of"', "silent", "did you mean record_off?"),
    "unknown parameter": ("digits_max = 4", "digits_most = 4", "digits_most", "ask", "unknown parameter 'digits_most'"),
    "mistyped parameter": ("digits_max = 4", 'digits_max = "4"', "digits_max", "ask", "Expected `int`"),
    "out of bounds": ("digits_max = 4", "digits_max = 40", "digits_max", "ask", "<= 20"),
    "parameters at odds": ("digits_max = 4", "digits_max = 4\ndigits_min = 5", "[node.ask]", "ask", "digits_min"),
    "missing parameter": ('queue = "donors"\n', "", "[node.agent]", "agent", "lacks 'queue'"),
    "unknown exit": ('talked = "bye",', 'talked = "bye", spoke = "bye",', "exits = { talked", "agent", "'spoke'"),
    "unwired exit": (', nobody = "bye"', "", "exits = { talked", "agent", "'nobody' of the step queue leads nowhere"),
    "exit to no node": ('next = "card"', 'next = "cart"', 'next = "cart"', "silent", "did you mean card?"),
    "unreachable": ("[node.bye]", '[node.odd]\nstep = "hangup"\n[node.bye]', "[node.odd]", "odd", "cannot be reached"),
    "choose without otherwise": (
        ', otherwise = "sure"',
        ', large = "sure"'.replace("large", "huge"),
        "exits = { large",
        "size",
        "'otherwise' of the step choose leads nowhere",
    ),
    "CEL that does not parse": ("minor < 100", "minor <", "when =", "size", "is no CEL: at character 15"),
    "a variable nobody sets": ("amount.minor > ", "amont.minor > ", "when =", "size", "did you mean amount?"),
    "text missing in a language": (', es = "Adiós." }', " }", "Goodbye", "bye", "text is missing in es"),
    "text in a language too many": ('es = "Adiós."', 'es = "Adiós.", fr = "Adieu."', "Goodbye", "bye", "fr; the flow"),
    "unknown placeholder kind": ("is {amount:money}", "is {amount:cash}", "That is", "sure", "unknown kind"),
    "digits said as money": ('en = "Goodbye."', 'en = "{keyed:money}"', "{keyed", "bye", "cannot be said as money"),
    "an unknown function": ("amount.minor < 100", "trim(keyed) == 'a'", "when =", "size", "calls trim(), which"),
    "loops inside loops": (
        "amount.minor < 100",
        "[1].all(a, [1].all(b, true))",
        "when =",
        "size",
        "goes through more than one list",
    ),
    "a lone brace": ("How many", "How { many", "How { many", "ask", "lone '{'"),
    "a confirmation that says nothing": ("Son {amount:money}. ", "", "[node.sure]", "sure", "nobody can confirm it"),
    "recording unannounced": ("announces_recording = true\n", "", "[node.record]", "record", "recording_announced"),
    "announced so that a key cuts it": ("cut_by_key = false\n", "", "[node.record]", "record", "recording_announced"),
    "recording on": (
        'step = "record_off"',
        'step = "say"\ntext = { en = "Card.", es = "Tarjeta." }',
        "[node.card]",
        "card",
        "needs recording_off, which does not hold on the way greeting > record > ask > amount > size > sure > silent",
    ),
    "amount not confirmed": (
        'refused = "ask"',
        'refused = "silent"',
        "[node.card]",
        "card",
        "needs amount_confirmed, which does not hold on the way greeting > record > ask > amount > size > sure >",
    ),
    "language nobody speaks": (
        'step = "queue"\nqueue = "donors"\nexits = { talked = "bye", timed_out = "bye", nobody = "bye" }',
        'step = "language"\ntext = { en = "1", es = "2" }\nchoices = { 1 = "fr" }\n'
        'exits = { chosen = "bye", not_chosen = "bye" }',
        "choices",
        "agent",
        "'fr' is none of the flow's languages",
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_named_with_its_line_and_node(kind):
    old, new, piece, node, said = PLANTED[kind]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    found = faults_of(text)
    place = f"donation.toml:{line_of(text, piece)}: " + (f'node "{node}": ' if node else "")
    named = [one for one in found if one.startswith(place) and said in one]
    assert named, found
    assert len(found) <= 2, f"one mistake is not many: {found}"


def test_a_variable_that_only_one_way_sets_is_named_with_the_way_that_does_not():
    text = GOOD.replace(
        'no_input = "bye", invalid = "bye" }\n\n[node.amount]', 'no_input = "size", invalid = "bye" }\n\n[node.amount]'
    )
    first, *rest = faults_of(text)
    assert "'amount' is not set on the way greeting > record > ask > size" in first
    assert f':{line_of(text, "when =")}: node "size"' in first
    assert all('node "sure"' in one for one in rest)


def test_a_set_value_must_be_confirmed_again():
    text = GOOD.replace('next = "card"', 'next = "more"') + (
        '\n[node.more]\nstep = "set"\nvariable = "amount"\nvalue = 500\ncurrency = "USD"\nnext = "card"\n'
    )
    (found,) = faults_of(text)
    assert "card" in found
    assert "needs amount_confirmed" in found
    assert "> silent > more > card" in found


def test_a_circle_in_which_nobody_is_waited_for_is_named():
    text = GOOD.replace('next = "record"', 'next = "again"') + (
        '\n[node.again]\nstep = "choose"\nwhen = { on = "called == \'1\'" }\n'
        'exits = { on = "record", otherwise = "greeting" }\n'
    )
    (found,) = faults_of(text)
    assert found.startswith(f'donation.toml:{line_of(text, "[node.greeting]")}: node "greeting": a circle')
    assert "greeting > again" in found


def test_a_node_from_which_no_way_leads_to_an_end_is_named():
    text = GOOD.replace(
        'talked = "bye", timed_out = "bye", nobody = "bye"', 'talked = "trap", timed_out = "bye", nobody = "bye"'
    )
    text += (
        '\n[node.trap]\nstep = "menu"\ntext = { en = "1", es = "1" }\nkeys = ["1"]\n'
        'exits = { 1 = "trap", no_input = "trap", no_match = "trap" }\n'
    )
    (found,) = faults_of(text)
    assert (
        found
        == f'donation.toml:{line_of(text, "[node.trap]")}: node "trap": no way leads from here to an end of the call'
    )


def test_all_faults_are_named_at_once_in_order_of_their_lines():
    text = (
        GOOD.replace("digits_max", "digits_most").replace('"record_off"', '"silence"').replace("minor < 100", "minor <")
    )
    found = faults_of(text)
    lines = [int(one.split(":")[1]) for one in found]
    assert len(found) == 3
    assert lines == sorted(lines)
    with pytest.raises(InvalidFlowError) as raised:
        checked("donation.toml", text, KNOWN)
    assert [str(one) for one in raised.value.faults] == found
    assert raised.value.detail == "\n".join(found)


def test_lines_are_right_behind_texts_that_look_like_tables():
    text = GOOD.replace(
        'title = "Donation line"', 'title = """\n[node.greeting]\nstep = "x" # \\"""\n\'\'\'"""  # """\nstart_ = 1'
    ).replace("start_ = 1", "")
    text = text.replace("digits_max = 4", "digits_max = 40")
    (found,) = faults_of(text)
    assert found.startswith(f"donation.toml:{line_of(text, 'digits_max')}: ")


@pytest.mark.parametrize("name", shipped.names())
def test_every_key_has_the_line_that_it_stands_on(name):
    text = shipped.text(name)
    lines = text.splitlines()
    found = toml_lines.lines_of(text)
    assert found == toml_lines.lines_of(text.replace("\n", "\r\n"))
    for keys, line in found.items():
        assert keys[-1] in lines[line - 1] or keys == ("node",), (keys, line)
    assert sum(line.startswith("[node.") for line in lines) <= len({keys[:2] for keys in found})


async def test_the_node_for_errors_can_rely_only_on_what_holds_in_the_middle_of_every_step():
    text = GOOD.replace("start =", 'on_error = "sorry"\nstart =') + (
        '\n[node.sorry]\nstep = "hangup"\ntext = { en = "Sorry about {amount}.", es = "{amount}" }\n'
    )
    (found,) = faults_of(text)
    assert "'amount' is not set on the way greeting > sorry" in found


@pytest.mark.parametrize("script", ["", "5#", "50#1", "50#260#1", "9999#", "0#.", "50#..."])
async def test_a_card_is_taken_only_after_a_confirmed_amount_and_in_silence(script):
    flow = load("donation.toml", GOOD)
    assert check(flow, KNOWN) == ()
    call, path = ScriptedCall(script), KeptPath()
    await run(flow, call, ScriptedBackstage(), path, steps=prepare(flow, KNOWN).steps)
    if "card" in path.nodes:
        assert path.steps[path.nodes.index("card") - 2] == ("sure", "confirmed")


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_flows_are_right(name):
    assert check_text(f"{name}.toml", shipped.text(name))[1] == ()
    assert shipped.flow(name).name == name
    assert shipped.flow(name).languages == ("en", "es")


def test_all_words_of_a_flow_can_be_known_before_a_call():
    words = words_of(shipped.flow("line_check"))
    assert {"You pressed", "This is the line check. You called"} <= set(words["en"])
    assert "Usted marcó" in words["es"]


def test_the_version_is_that_of_the_content_and_not_of_its_comments():
    assert load("a.toml", GOOD).version == load("b.toml", f"# a word\n{GOOD}").version
    assert load("a.toml", GOOD).version != load("a.toml", GOOD.replace("Adiós", "Hasta luego")).version


@settings(max_examples=25)
@given(st.text(max_size=80))
def test_no_text_breaks_the_reader(text):
    check_text("x.toml", text)
    check_text("x.toml", GOOD + text)


# Of `steps` edges between four places, each giving or taking one of two items.
SMALL_GRAPHS = st.lists(
    st.tuples(*[st.sampled_from("abcd")] * 2, *[st.frozensets(st.sampled_from([1, 2]))] * 2), max_size=10
)


@settings(max_examples=60)
@given(SMALL_GRAPHS)
def test_what_surely_holds_is_what_no_way_lacks(rows):
    edges = {place: [Edge(to, gives, takes) for start, to, gives, takes in rows if start == place] for place in "abcd"}
    holds = dataflow.surely("a", frozenset({1}), edges)
    for place, state in holds.items():
        for item in (1, 2):
            way = dataflow.way_without("a", frozenset({1}), edges, place, item)
            assert (item in state) == (way == ())
            assert not way or (way[0], way[-1]) == ("a", place)


def rewired(flow, start, exit, to):
    """The same flow with one exit that leads elsewhere."""
    node = flow.nodes[start]
    changed = dataclasses.replace(node, exits={**node.exits, exit: to})
    return dataclasses.replace(flow, nodes={**flow.nodes, start: changed})


SCRIPTS = ("50#1", "50#2", "50#160#1", "")


@pytest.mark.parametrize("start", re.findall(r"\[node\.(\w+)\]", GOOD))
async def test_however_it_is_wired_a_flow_without_fault_takes_a_card_only_when_it_may(start):
    """Every exit of the node is led to every node; a card step that is not refused is then walked into."""
    flow = load("donation.toml", GOOD)
    made = prepare(flow, KNOWN).steps
    for exit in flow.nodes[start].exits:
        for to in flow.nodes:
            other = rewired(flow, start, exit, to)
            faults = {fault.node: fault.said for fault in check(other, KNOWN) if "not hold" in fault.said}
            wrong = set()
            for script in SCRIPTS:
                path = KeptPath()
                await run(other, ScriptedCall(script), ScriptedBackstage(), path, steps=made, steps_max=30)
                wrong |= mistakes(path)
            assert wrong <= set(faults), f"{exit} of {start} leads to {to}"


def mistakes(path) -> set[str]:
    """The nodes of a path, and of the flow above, that were entered although they must not be."""
    found, announced, recording, is_confirmed = set(), False, False, False
    for node, exit in path.steps:
        if (node == "record" and not announced) or (node == "card" and (recording or not is_confirmed)):
            found.add(node)
        announced |= node == "greeting"
        recording = {"record": True, "silent": False}.get(node, recording)
        is_confirmed = {"amount": is_confirmed and exit != "next", "sure": exit == "confirmed"}.get(node, is_confirmed)
    return found
