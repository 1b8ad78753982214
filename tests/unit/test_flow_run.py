"""Walking flows: the path that is kept, what is heard, and that every call ends, whatever the caller does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.scripted_call import NOW, KeptPath, ScriptedBackstage, ScriptedCall
from tenderline.flows import shipped
from tenderline.flows.check import checked
from tenderline.flows.graph import InvalidFlowError
from tenderline.flows.load import load
from tenderline.flows.run import run
from tenderline.flows.step import Step

ENDS = {"hung_up", "transferred", "returned", "caller_hung_up", "failed", "steps_max"}
HEAD = 'name = "t"\ntitle = "T"\nlanguage = "en"\nstart = "a"\napology = "Sorry."\n'
BYE = '[node.bye]\nstep = "hangup"\ntext = "Bye."\n'


async def walk(name, script="", *, backstage=None, **facts):
    """A shipped flow with a caller who follows a script."""
    call, path = ScriptedCall(script, **facts), KeptPath()
    end = await run(shipped.flow(name), call, backstage or ScriptedBackstage(), path)
    assert path.inside is None
    return end, call, path


async def test_the_line_check_greets_plays_back_and_reads_back_the_keys():
    end, call, path = await walk("line_check", "0791#1!")
    assert end == "caller_hung_up"
    assert call.heard[:6] == [
        "This is the line check. You called <12025550199>",
        "After the tone, please say something for two seconds.",
        "",  # the tone
        "[16000 bytes]",
        "Now press some keys, and then the pound key.",
        "You pressed <0791>",
    ]
    assert path.steps == [
        ("greeting", "next"),
        ("speak", "next"),
        ("echo", "next"),
        ("keys", "collected"),
        ("read_back", "next"),
        ("again", "1"),
        ("speak", "next"),
        ("echo", "next"),
        ("keys", "caller_hung_up"),
    ]


async def test_welcome_records_after_saying_so_and_brings_the_caller_to_an_agent():
    end, call, path = await walk("welcome", "1", variables={"organisation": "Example Aid"})
    assert (end, path.nodes[-2:]) == ("hung_up", ["agent", "goodbye"])
    assert call.heard[:3] == ["Thank you for calling Example Aid", "This call may be recorded.", "[recording on]"]
    assert "[queue front_desk]" in call.heard


async def test_welcome_is_spoken_in_the_language_that_was_chosen():
    _, call, _ = await walk("welcome", "32.9")
    assert call.languages[-1] == "es"
    assert call.heard[-1] == "No le contactaremos más. Adiós."


async def test_a_call_from_mexico_is_spoken_to_in_spanish():
    _, call, _ = await walk("welcome", "", language="es-MX")
    assert set(call.languages) == {"es"}
    assert call.heard[0] == "Gracias por llamar a nuestra línea de atención"


async def test_a_call_in_a_language_that_the_flow_lacks_is_spoken_to_in_its_own():
    _, call, _ = await walk("welcome", "", language="de")
    assert set(call.languages) == {"en"}


@pytest.mark.parametrize(
    ("script", "backstage", "facts", "nodes"),
    [
        ("1", {}, {"queue_end": "nobody"}, ["agent", "nobody_free", "callback", "callback_noted"]),
        ("1", {}, {"queue_end": "timed_out"}, ["nobody_free", "callback", "callback_noted"]),
        ("2", {}, {}, ["menu", "callback", "callback_noted"]),
        ("2", {}, {"caller": None}, ["callback", "callback_refused"]),
        ("2", {"accepts": False}, {}, ["callback", "callback_refused"]),
        ("3..1", {}, {"queue_end": "talked"}, ["language", "opening_hours", "menu", "agent", "goodbye"]),
        ("9", {}, {}, ["menu", "stop", "stop_noted"]),
        ("9", {"accepts": False}, {}, ["stop", "stop_unknown"]),
        ("", {}, {}, ["menu", "goodbye"]),
        ("777", {}, {}, ["menu", "goodbye"]),
        ("2", {"at": NOW + timedelta(hours=12)}, {}, ["closed_menu", "callback", "callback_noted"]),
        ("1119", {"at": NOW + timedelta(hours=12)}, {}, ["opening_hours", "closed_menu", "goodbye"]),
        (
            "39.9",
            {"at": NOW + timedelta(days=3)},
            {},
            ["language", "opening_hours", "closed_menu", "stop", "stop_noted"],
        ),
    ],
)
async def test_every_exit_of_welcome_leads_where_it_says(script, backstage, facts, nodes):
    end, _, path = await walk("welcome", script, backstage=ScriptedBackstage(**backstage), **facts)
    assert end == "hung_up"
    assert path.nodes[-len(nodes) :] == nodes


@pytest.mark.parametrize("name", shipped.names())
@settings(max_examples=40)
@given(
    script=st.text("0123456789*#ABCD.", max_size=40),
    hangs_up=st.booleans(),
    queue_end=st.sampled_from(["talked", "timed_out", "nobody"]),
    accepts=st.booleans(),
    is_open=st.booleans(),
    presses=st.booleans(),
)
def test_whatever_the_caller_does_the_call_ends(name, script, hangs_up, queue_end, accepts, is_open, presses):
    backstage = ScriptedBackstage(accepts=accepts, at=NOW if is_open else NOW + timedelta(hours=12))
    facts = {"hangs_up_at_the_end": hangs_up, "queue_end": queue_end, "presses_during_prompts": presses}
    end, call, _ = asyncio.run(walk(name, script, backstage=backstage, **facts))
    assert end in ENDS - {"failed", "steps_max"}
    assert call.ended != (end == "returned")
    assert call.hung_up_by_us == (end == "hung_up")


@pytest.mark.parametrize(("name", "script"), [("line_check", "12#1..."), ("welcome", "32.1"), ("welcome", "9")])
async def test_a_hang_up_at_every_point_ends_the_call_and_the_path(name, script):
    _, whole, _ = await walk(name, script)
    for point in range(whole.acts):
        end, call, path = await walk(name, script, hangs_up_at=point)
        assert end == "caller_hung_up"
        assert call.acts == point + 1, "nothing was tried on a line that is dead"
        assert not path.steps or path.steps[-1][1] == "caller_hung_up"


async def test_a_cancelled_call_leaves_its_step_and_says_nothing_more():
    class Endless(ScriptedCall):
        async def key(self, *, timeout_s):
            await asyncio.Event().wait()

    call, path = Endless(), KeptPath()
    task = asyncio.create_task(run(shipped.flow("welcome"), call, ScriptedBackstage(), path))
    await asyncio.sleep(0)
    heard = len(call.heard)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert path.steps[-1] == ("menu", "cancelled")
    assert len(call.heard) == heard


class Broken(Step, frozen=True):
    """A step with a defect."""

    fixed_exits: ClassVar[tuple[str, ...]] = ("next",)

    async def run(self, call, backstage):
        raise ZeroDivisionError("a defect")


def _broken(text):
    """A flow of which the node `a` fails."""
    flow = load("t.toml", text)
    return flow, {**{name: _made(flow, name) for name in flow.nodes if name != "a"}, "a": Broken()}


def _made(flow, name):
    from tenderline.flows import step, steps

    node = flow.nodes[name]
    made, faults = step.read(steps.shipped()[node.step], node, flow.language)
    assert not faults
    return made


async def test_a_defect_takes_the_flow_to_its_node_for_errors():
    flow, steps = _broken(
        HEAD.replace("start", 'on_error = "bye"\nstart') + '[node.a]\nstep = "b"\nnext = "bye"\n' + BYE
    )
    call, path = ScriptedCall(), KeptPath()
    assert await run(flow, call, ScriptedBackstage(), path, steps=steps) == "hung_up"
    assert path.steps == [("a", "failed"), ("bye", "hung_up")]
    assert call.heard == ["Bye."]


@pytest.mark.parametrize("where", ["", 'on_error = "a"\n'])
async def test_a_defect_without_a_way_out_is_apologised_for(where):
    flow, steps = _broken(where + HEAD + '[node.a]\nstep = "b"\nnext = "bye"\n' + BYE)
    call, path = ScriptedCall(), KeptPath()
    assert await run(flow, call, ScriptedBackstage(), path, steps=steps) == "failed"
    assert call.heard == ["Sorry."]
    assert call.hung_up_by_us
    assert {exit for _, exit in path.steps} == {"failed"}


async def test_a_call_has_a_bound_of_steps():
    text = HEAD + '[node.a]\nstep = "say"\ntext = "A."\nnext = "b"\n[node.b]\nstep = "listen_back"\nnext = "c"\n'
    text += '[node.c]\nstep = "choose"\nwhen = { x = "called == \'1\'" }\nexits = { x = "bye", otherwise = "a" }\n'
    call, path = ScriptedCall(), KeptPath()
    assert await run(checked("t.toml", text + BYE), call, ScriptedBackstage(), path, steps_max=30) == "steps_max"
    assert len(path.steps) == 30
    assert call.heard[-1] == "Sorry."
    assert call.hung_up_by_us


async def test_a_flow_with_a_fault_is_not_begun():
    call = ScriptedCall()
    flow = load("t.toml", HEAD + '[node.a]\nstep = "say"\ntext = "A."\n')
    with pytest.raises(InvalidFlowError, match="'next' of the step say leads nowhere"):
        await run(flow, call, ScriptedBackstage(), KeptPath())
    assert not call.answered
