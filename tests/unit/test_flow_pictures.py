"""A flow as a picture, on the command line, and on the page of all steps."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from tenderline.cli import app
from tenderline.flows import draw, shipped
from tenderline.flows.check import checked
from tenderline.flows.load import load

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
FAULTY = shipped.text("line_check").replace('next = "speak"', 'next = "speek"', 1)
LONG = 'name = "l"\ntitle = "A <b> & c"\nlanguage = "en"\nstart = "n0"\n' + "".join(
    f'[node.n{number}]\nstep = "say"\ntext = "x"\nnext = "n{number + 1}"\n' for number in range(250)
)


def numbers(picture: ElementTree.Element, name: str) -> tuple[float, ...]:
    """Where and how large the box of a node is."""
    box = picture.find(f"{SVG}g[@id='node-{name}']/{SVG}rect")
    assert box is not None
    return tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height"))


@pytest.mark.parametrize("name", shipped.names())
def test_every_node_is_drawn_once_and_no_two_boxes_overlap(name):
    flow = shipped.flow(name)
    picture = ElementTree.fromstring(draw.svg(flow))
    groups = [one for one in picture.iter(f"{SVG}g") if "id" in one.attrib]
    assert sorted(one.attrib["id"] for one in groups) == sorted(f"node-{node}" for node in flow.nodes)
    for one in groups:
        node = flow.nodes[one.attrib["id"].removeprefix("node-")]
        assert f"step-{node.step}" in one.attrib["class"].split()
        assert one.findtext(f"{SVG}title").startswith(f"{node.name}: {node.step}")
    boxes = [numbers(picture, node) for node in flow.nodes]
    for index, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[:index]:
            apart = (
                x + width <= other_x
                or other_x + other_width <= x
                or y + height <= other_y
                or other_y + other_height <= y
            )
            assert apart


@pytest.mark.parametrize("name", shipped.names())
def test_every_exit_has_its_label_and_its_way(name):
    flow = shipped.flow(name)
    picture = ElementTree.fromstring(draw.svg(flow))
    edges = {
        (one.attrib["data-from"], one.attrib["data-to"]): one.findtext(f"{SVG}text") or "next"
        for one in picture.iter(f"{SVG}g")
        if "edge" in one.attrib["class"].split()
    }
    drawn = {(start, exit, to) for (start, to), label in edges.items() for exit in label.split(", ")}
    assert drawn == {(node.name, exit, to) for node in flow.nodes.values() for exit, to in node.exits.items()}


def test_the_path_of_a_call_is_lit():
    flow = shipped.flow("welcome")
    picture = ElementTree.fromstring(draw.svg(flow, lit={"greeting", "menu"}, lit_edges={("menu", "no_match")}))
    lit = [one for one in picture.iter(f"{SVG}g") if "lit" in one.attrib["class"].split()]
    assert [one.attrib.get("id", one.attrib.get("data-to")) for one in lit] == ["goodbye", "node-greeting", "node-menu"]


def test_a_picture_has_a_title_no_style_and_no_script_and_is_always_the_same():
    picture = draw.svg(load("l.toml", LONG))
    assert picture == draw.svg(load("l.toml", LONG))
    assert '<title id="flow-title">A &lt;b&gt; &amp; c</title>' in picture
    assert '<desc id="flow-desc">A call flow of 250 steps.' in picture
    assert not re.search(r"style|script|href|\bon\w+=", picture)
    assert len(draw.tree(load("l.toml", LONG)).splitlines()) == 253


def test_a_tree_names_a_node_again_instead_of_drawing_it_twice():
    lines = draw.tree(shipped.flow("line_check")).splitlines()
    assert lines[2] == "greeting [say]"
    assert [line.strip(" │") for line in lines if line.endswith("↑")] == ["├─ 1 → speak ↑", "└─ next → again ↑"]


@pytest.fixture
def run():
    """Runs `tenderline flow …`."""
    return lambda *words: CliRunner().invoke(app, ["flow", *map(str, words)])


@pytest.fixture
def faulty(tmp_path):
    """A file with one fault."""
    file = tmp_path / "faulty.toml"
    file.write_text(FAULTY)
    return file


def test_check_names_faults_and_fails(run, faulty):
    line = FAULTY.count("\n", 0, FAULTY.index("speek")) + 1
    answer = run("check", faulty, "welcome")
    assert answer.exit_code == 1
    assert f"{faulty}:{line}: node \"greeting\": exit 'next' leads to 'speek'" in answer.output
    assert "welcome.toml: all is well: 17 nodes" in answer.output
    told = json.loads(run("check", faulty, "--json").output)
    assert (told["faults"][0]["line"], told["faults"][0]["node"]) == (line, "greeting")
    assert run("check").exit_code == 0


def test_draw_and_show(run, faulty, tmp_path):
    picture = tmp_path / "flow.svg"
    assert run("draw", "welcome", "--svg", picture).exit_code == 0
    assert picture.read_text() == draw.svg(shipped.flow("welcome"))
    assert "next → speek  (there is no such node)" in run("show", faulty).output
    assert json.loads(run("show", "line_check", "--json").output)["nodes"][0]["exits"] == {"next": "speak"}


def test_what_cannot_be_read_is_said_plainly(run, tmp_path):
    assert run("show", tmp_path / "none.toml").exit_code == 2
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    assert run("check", tmp_path / "bytes.toml").exit_code == 2
    (tmp_path / "bad.toml").write_text("name =")
    answer = run("show", tmp_path / "bad.toml")
    assert answer.exit_code == 1
    assert "bad.toml:1: is not valid TOML" in answer.output


def test_the_page_of_steps_is_the_one_of_their_declarations():
    page = runpy.run_path(str(ROOT / "scripts/write-flow-reference.py"))["page"]()
    assert (ROOT / "docs/reference/flows.md").read_text("utf-8") == page, "run `make docs`"


def test_the_flow_on_the_page_is_right():
    (example,) = re.findall(r"(?s)```toml\n(.*?)```", (ROOT / "docs/reference/flows.md").read_text("utf-8"))
    assert checked("example.toml", example).name == "front_door"
