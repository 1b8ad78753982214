"""The checker of flows: one planted fault of each kind is named with its line and its node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.scripted_call import KeptPath, ScriptedBackstage, ScriptedCall
from tenderline.flows import check, draw, load, shipped, step
from tenderline.flows.call import Backstage, Call

HEAD = 'name = "f"\ntitle = "F"\nstart = "a"\n'
BYE = '[node.bye]\nstep = "hangup"\n'


def faults(text):
    return [(fault.line, fault.node, fault.what) for fault in check.text("f.toml", text)]


PLANTED = {
    "not TOML": ('name = "f\n', 1, "", "not valid TOML"),
    "an unknown key": (HEAD + 'colour = "red"\n' + '[node.a]\nstep = "hangup"\n', 4, "", "unknown key 'colour'"),
    "no title": ('name = "f"\nstart = "a"\n[node.a]\nstep = "hangup"\n', 1, "", "title is missing"),
    "a name that is none": (HEAD.replace('"f"', '"F f"') + '[node.a]\nstep = "hangup"\n', 1, "", "is no name"),
    "no node": (HEAD, 1, "", "there is no node"),
    "an unknown step": (HEAD + '[node.a]\nstep = "sya"\n', 5, "a", "did you mean 'say'"),
    "an unknown parameter": (
        HEAD + '[node.a]\nstep = "hangup"\nwords = "x"\n', 6, "a", "unknown parameter `words`"
    ),
    "a mistyped parameter": (
        HEAD + f'[node.a]\nstep = "menu"\ntext = "x"\ntries = "three"\n[node.a.exits]\n1 = "bye"\nno_input = "bye"\n'
        f'no_match = "bye"\n{BYE}', 7, "a", "tries: Expected `int`, got `str`",
    ),
    "a parameter out of bounds": (
        HEAD + f'[node.a]\nstep = "listen_back"\nduration_s = 90.0\nnext = "bye"\n{BYE}', 6, "a", "duration_s",
    ),
    "a missing parameter": (HEAD + f'[node.a]\nstep = "say"\nnext = "bye"\n{BYE}', 4, "a", "the parameter `text`"),
    "an exit that leads nowhere": (HEAD + '[node.a]\nstep = "say"\ntext = "x"\n', 4, "a", "'next' leads nowhere"),
    "an exit that there is not": (
        HEAD + f'[node.a]\nstep = "say"\ntext = "x"\nnext = "bye"\n[node.a.exits]\nlater = "bye"\n{BYE}',
        9, "a", "say has no exit 'later'",
    ),
    "an exit to no node": (HEAD + '[node.a]\nstep = "say"\ntext = "x"\nnext = "b"\n', 7, "a", "'b', which is no node"),
    "a start that is no node": (HEAD.replace('"a"', '"z"') + BYE, 3, "", "start leads to 'z'"),
    "a node that nobody reaches": (HEAD + f'[node.a]\nstep = "hangup"\n{BYE}', 6, "bye", "no way leads here"),
    "a way that never ends": (
        HEAD + '[node.a]\nstep = "listen_back"\nnext = "a"\n', 4, "a", "no way leads from here to an end",
    ),
    "a circle in which nobody is asked": (
        HEAD + f'[node.a]\nstep = "choose"\nwhen = {{ x = "1 > 2" }}\nexits = {{ x = "bye", otherwise = "b" }}\n'
        f'[node.b]\nstep = "set"\nvalues = {{ y = 1 }}\nnext = "a"\n{BYE}', 4, "a", "a circle in which nobody is asked",
    ),
    "a variable that is not set": (
        HEAD + f'[node.a]\nstep = "say"\ntext = "You are {{name}}"\nnext = "bye"\n{BYE}', 4, "a", "'name' is not set",
    ),
    "a variable that is set on one way only": (
        HEAD + '[node.a]\nstep = "collect"\ntext = "x"\ninto = "zip"\n[node.a.exits]\nnext = "b"\nno_input = "b"\n'
        'no_match = "b"\n[node.b]\nstep = "hangup"\ntext = "{zip:digits}"\n', 12, "b", "'zip' is not set on every way",
    ),
    "a condition that is none": (
        HEAD + f'[node.a]\nstep = "choose"\nwhen = {{ x = "1 >" }}\nexits = {{ x = "bye", otherwise = "bye" }}\n{BYE}',
        6, "a", "cannot be read",
    ),
    "a choice without otherwise": (
        HEAD + f'[node.a]\nstep = "choose"\nwhen = {{ x = "true" }}\nexits = {{ x = "bye" }}\n{BYE}',
        4, "a", "'otherwise' leads nowhere",
    ),
    "a text that lacks a language": (
        HEAD + 'languages = ["en", "es"]\n[node.a]\nstep = "hangup"\ntext = { en = "x" }\n', 7, "a", "nothing in 'es'",
    ),
    "a text in one language of two": (
        HEAD + 'languages = ["en", "es"]\n[node.a]\nstep = "hangup"\ntext = "x"\n', 7, "a", "in one language",
    ),
    "a placeholder of no kind": (
        HEAD + '[node.a]\nstep = "hangup"\ntext = "{campaign:colour}"\n', 6, "a", "no kind 'colour'",
    ),
    "a brace without the other": (HEAD + '[node.a]\nstep = "hangup"\ntext = "{campaign"\n', 6, "a", "A brace"),
    "a zone that is none": (
        HEAD + f'[node.a]\nstep = "hours"\nzone = "Mars"\nopen = {{}}\n'
        f'exits = {{ open = "bye", closed = "bye" }}\n{BYE}',
        6, "a", "no IANA time zone",
    ),
    "hours that are none": (
        HEAD + f'[node.a]\nstep = "hours"\nzone = "UTC"\nopen = {{ mon = ["17:00-09:00"] }}\n'
        f'exits = {{ open = "bye", closed = "bye" }}\n{BYE}', 7, "a", "is no span",
    ),
    "a place that cannot be called": (
        HEAD + f'[node.a]\nstep = "bridge"\nto = "http://x"\nnext = "bye"\n[node.a.exits]\nbusy = "bye"\n'
        f'no_answer = "bye"\nfailed = "bye"\n{BYE}', 6, "a", "neither a number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_named_with_its_line_and_node(kind):
    text, line, node, what = PLANTED[kind]
    found = faults(text)
    assert any(one[:2] == (line, node) and what in one[2] for one in found), found


def test_what_looks_like_a_node_inside_a_text_is_none():
    text = (
        HEAD
        + '[node.a]\nstep = "say"\ntext = """\n[node.b]\nstep = "x"\n"""\nnext = "bye"\n'
        + BYE.replace("hangup", "no")
    )
    assert [line for line, node, _ in faults(text) if node == "bye"] == [12]


@pytest.mark.parametrize("name", shipped.texts())
def test_shipped_flows_have_no_fault_and_can_be_drawn(name):
    text = shipped.texts()[name]
    assert faults(text) == []
    flow = load.read(name, text)
    picture = draw.svg(flow, lit=[flow.start], current=flow.start)
    assert picture.count('class="node') == len(flow.nodes)
    assert "style=" not in picture
    assert "<script" not in picture
    for node in flow.nodes:
        assert f'id="node-{node}"' in picture
        assert node in draw.text(flow)


def test_the_page_of_steps_is_the_generated_one(tmp_path):
    root = Path(__file__).parents[2]
    made = tmp_path / "flows.md"
    command = [sys.executable, str(root / "scripts/write-flow-reference.py"), str(made)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(root / "src")})
    assert made.read_text("utf-8") == (root / "docs/reference/flows.md").read_text("utf-8"), "run `make docs`"


class Capture(step.Step, frozen=True, kw_only=True):
    """A stand-in for a step that takes a card."""

    about = "Takes a card."

    def needs(self) -> frozenset[str]:
        return frozenset({"amount_confirmed", "recording_off"})

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        return "next"


class Confirm(step.Step, frozen=True, kw_only=True):
    """A stand-in for a step that confirms an amount."""

    about = "Confirms the amount."

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        return frozenset({"yes", "no"})

    def gives(self, exit: str) -> frozenset[str]:
        return frozenset({"amount_confirmed"}) if exit == "yes" else frozenset()

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        return "yes"


@pytest.fixture
def with_cards(monkeypatch):
    every = {**step.kinds(), "capture": Capture, "confirm": Confirm}
    monkeypatch.setattr(load, "kinds", lambda: every)


def card_flow(no="bye", after_off="card", start="ask"):
    return (
        HEAD.replace('"a"', f'"{start}"')
        + f'[node.ask]\nstep = "confirm"\nexits = {{ yes = "off", no = "{no}" }}\n'
        + f'[node.off]\nstep = "record_off"\nnext = "{after_off}"\n'
        + '[node.on]\nstep = "record_on"\nnext = "card"\n'
        + f'[node.card]\nstep = "capture"\nnext = "bye"\n{BYE}'
    )


def test_no_card_is_taken_without_a_confirmed_amount_or_while_recording(with_cards):
    fine = [one for one in faults(card_flow()) if one[1] == "card"]
    assert fine == []
    unconfirmed = [one[2] for one in faults(card_flow(no="off")) if one[1] == "card"]
    assert unconfirmed == ["amount confirmed does not hold on every way to here"]
    recorded = [one[2] for one in faults(card_flow(after_off="on")) if one[1] == "card"]
    assert recorded == ["recording off does not hold on every way to here"]


async def test_a_defect_in_a_step_takes_the_way_for_it_and_only_once(monkeypatch):
    from tenderline.flows import run

    text = HEAD + 'on_error = "sorry"\n[node.a]\nstep = "record_on"\nnext = "sorry"\n'
    text += '[node.sorry]\nstep = "hangup"\ntext = "Sorry"\n'
    flow, call, path = load.read("f", text), ScriptedCall(), KeptPath()
    monkeypatch.setattr(call, "record", None)
    assert await run.run(flow, call, ScriptedBackstage(), path) == "sorry"
    assert path.nodes == ["a", "sorry"]
    assert path.exits[0] == "defect"
    assert call.said == ["Sorry"]
