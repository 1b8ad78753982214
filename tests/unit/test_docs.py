"""The documents stay true: what they name is there, what they link to resolves, and what they list is complete."""

from __future__ import annotations

import inspect
import re
import runpy
import tomllib
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import typer

from tenderline import cli, config
from tenderline.compliance import ruleset
from tenderline.compliance.rule import RuleKind
from tenderline.core.events import AnyEvent
from tenderline.gateways import stripe_facts
from tenderline.worker.reactions import REACTIONS

ROOT = Path(__file__).parents[2]
DECISION_LINES_MAX = 60
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
PLACES = (ROOT, ROOT / "src", ROOT / "src/tenderline")
"""A path in a document is below one of these, or beside the document."""

# Files that come into being when the product is built or used, and a vendor's file for the sake of an example.
MADE_LATER = frozenset(
    {"tenderline.toml", "uv.lock", "gateways/acme.py", "messengers/acme.py", "crm/acme.py", ".venv/"}
)

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
PATH = re.compile(
    r"\.?[\w*-][\w.*/-]*(?:/|\.(?:py|md|toml|sql|html|css|js|json|lock|txt|ya?ml))|\.importlinter|\.pre-commit-config\.yaml"
)
SETTING = re.compile(r"(?:stripe|twilio|smtp|recovery|compliance|worker|api|audit|scan)\.[a-z_]+")
VARIABLE = re.compile(r"\bTENDERLINE_[A-Z0-9_]+")


def name_of(path: Path) -> str:
    """As it is shown in a test's name."""
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    """A document."""
    return path.read_text("utf-8")


def prose_of(path: Path) -> str:
    """A document without its blocks of code."""
    return FENCE.sub("", text_of(path))


def blocks_of(path: Path, *languages: str) -> list[str]:
    """Its blocks of code in these languages, as they would be copied."""
    return [
        inspect.cleandoc(body) if indent else body
        for indent, language, body in FENCE.findall(text_of(path))
        if language in languages
    ]


def said_to_a_shell(path: Path) -> str:
    """Everything in a document that somebody may type: spans, and blocks for a shell."""
    return "\n".join([*SPAN.findall(prose_of(path)), *blocks_of(path, "sh", "console", "bash")])


def _is_there(path: Path, named: str) -> bool:
    if named in MADE_LATER:
        return True
    return any(list(place.glob(named.rstrip("/"))) for place in (*PLACES, path.parent))


every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


@every_document
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = {span for span in SPAN.findall(prose_of(path)) if PATH.fullmatch(span)}
    missing = sorted(one for one in named if not _is_there(path, one))
    assert not missing


@every_document
def test_every_link_inside_the_repository_resolves(path: Path) -> None:
    broken: list[str] = []
    for target in LINK.findall(prose_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or not there.is_relative_to(ROOT) or (anchor and anchor not in _anchors(there)):
            broken.append(target)
    assert not broken


def _anchors(path: Path) -> set[str]:
    """The anchors that a renderer gives a document's headings."""
    headings = re.findall(r"(?m)^#+ +(.+?) *$", prose_of(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"(?m)(?:^|[;&|] *)make ([a-z][a-z-]*)", said_to_a_shell(path)))
    if not named:
        return
    makefile = ROOT / "Makefile"
    targets = (
        set(re.findall(r"(?m)^([a-z][a-z-]*) *:(?!=)", makefile.read_text("utf-8"))) if makefile.is_file() else set()
    )
    assert named <= targets


@cache
def _commands() -> frozenset[str]:
    """Every command, with its group before it: `replay`, `config show`."""
    found: set[str] = set()

    def walk(app: typer.Typer, before: str) -> None:
        for command in app.registered_commands:
            assert command.callback is not None
            found.add(f"{before}{command.name or command.callback.__name__.replace('_', '-')}")
        for group in app.registered_groups:
            assert group.typer_instance is not None
            found.add(f"{before}{group.name}")
            walk(group.typer_instance, f"{before}{group.name} ")

    walk(cli.app, "")
    return frozenset(found)


@every_document
def test_every_command_that_is_named_exists(path: Path) -> None:
    options = r"(?:--(?:set|config)[ =]\S+ +)*"
    typed = re.findall(
        rf"(?m)(?:^|[;&|] *)tenderline +{options}([a-z]+)((?: [a-z]+(?:-[a-z]+)*)?)", said_to_a_shell(path)
    )
    groups = {command.split()[0] for command in _commands() if " " in command}
    wrong = [
        f"{command}{more}"
        for command, more in typed
        if command not in _commands() or (command in groups and more and f"{command}{more}" not in _commands())
    ]
    assert not wrong


@cache
def _tests_there() -> frozenset[str]:
    """The name of every test function."""
    files = (ROOT / "tests").rglob("test_*.py")
    return frozenset(name for file in files for name in re.findall(r"(?m)^(?:async )?def (test_\w+)", file.read_text()))


@every_document
def test_every_test_that_is_named_exists(path: Path) -> None:
    named = {span for span in SPAN.findall(prose_of(path)) if re.fullmatch(r"test_\w+", span)}
    assert named <= _tests_there()


@every_document
def test_every_setting_that_is_named_exists(path: Path) -> None:
    keys = config.known_keys()
    spans = SPAN.findall(prose_of(path))
    named = {span for span in spans if SETTING.fullmatch(span)} - {"compliance.decide"}
    assert named <= set(keys)
    # A variable that is no setting is refused when the product starts, so the same reading decides here.
    values = {"TENDERLINE_CONFIG": ""}
    for variable in VARIABLE.findall(text_of(path)):
        key = variable.removeprefix(config.ENV_PREFIX).lower().replace("__", ".")
        known = key in keys or key.removesuffix("_file") in keys or variable in config._NOT_SETTINGS
        assert known or variable.endswith("_") or variable in values, variable


@pytest.mark.parametrize("path", sorted((ROOT / "docs/how-to").glob("*.md")), ids=name_of)
def test_settings_in_a_how_to_can_be_copied_as_they_stand(path: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks_of(path, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, "utf-8")
        assert config.load({}, {}, file).sources


def test_the_rule_book_is_the_one_of_the_rule_files() -> None:
    book = runpy.run_path(str(ROOT / "scripts/write-rule-book.py"))["page"]()
    assert text_of(ROOT / "docs/reference/rule-book.md") == book, "run `make docs`"


def test_the_examples_of_the_rules_page_are_rules_that_are_shipped() -> None:
    for example in blocks_of(ROOT / "docs/reference/rules.md", "toml"):
        for rule in ruleset.parse({"example.toml": example}).rules:
            found = ruleset.shipped().find(rule.id)
            assert found is not None
            assert rule.row == found.row


def test_the_rules_page_explains_every_kind() -> None:
    kinds = set(re.findall(r"(?m)^\| `([a-z_]+)` \|", text_of(ROOT / "docs/reference/rules.md")))
    assert kinds >= {kind.value for kind in RuleKind}


def test_the_events_page_lists_every_event_with_its_reactions() -> None:
    text = text_of(ROOT / "docs/reference/events.md")
    rows = re.findall(r"(?m)^\| `([A-Z]\w+)` \| .+ \| ?(.*?) ?\|$", text)
    listed = {kind: tuple(re.findall(r"`(\w+)`", reactions)) for kind, reactions in rows}
    assert len(listed) == len(rows), "an event stands there twice"
    there = {kind.__name__: tuple(one.__name__ for one in REACTIONS.get(kind, ())) for kind in get_args(AnyEvent)}
    assert listed == there
    described = re.findall(r"(?m)^\| `([a-z]\w+)` \|", text)
    assert sorted(described) == sorted({one.__name__ for reactions in REACTIONS.values() for one in reactions})


def test_the_stripe_page_lists_every_event_that_is_read() -> None:
    page = prose_of(ROOT / "docs/how-to/connect-stripe.md")
    named = set(re.findall(r"`((?:payment_intent|charge|invoice|checkout|customer)\.[a-z_.]+)`", page))
    assert named == set(stripe_facts.EVENTS)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    declared = [
        *project["project"]["dependencies"],
        *(one for extra in project["project"].get("optional-dependencies", {}).values() for one in extra),
        *project["dependency-groups"]["dev"],
    ]
    wanted = {re.split(r"[\[<>=!~; ]", one, maxsplit=1)[0].lower() for one in declared}
    rows = re.findall(r"(?m)^\| ([a-z][\w ,\[\]-]*?) \| ", text_of(ROOT / "docs/decisions/0003-dependencies.md"))
    explained = {re.sub(r"\[.*\]", "", name.strip()) for row in rows for name in row.split(",")}
    assert explained - {"runtime", "development", "extra"} == wanted


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_is_short_and_weighs_what_else_there_was(path: Path) -> None:
    text = text_of(path)
    assert len(text.splitlines()) <= DECISION_LINES_MAX
    assert re.findall(r"(?m)^## (.+)$", text) == ["Context", "Decision", "Consequences", "Alternatives"]
    assert re.search(r"(?m)^Status: (accepted|superseded by \[\d{4}\])", text)
    assert text.startswith(f"# {path.name[:4]}. ")


def test_decisions_are_numbered_without_a_hole() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]
