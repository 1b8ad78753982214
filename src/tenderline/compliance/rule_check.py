"""Looking all rules over before anybody relies on them: shipped rows, presets, and files that somebody wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from tenderline.compliance import rule_file, ruleset
from tenderline.compliance.rule_file import InvalidRuleError

_TOML_LINE = re.compile(r"^(?P<name>.+?) is not valid TOML: (?P<said>.*) \(at line (?P<line>\d+), column \d+\)$")
_PLACE = re.compile(r"^(?P<place>.+?(?::\d+)?): (?P<said>.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and where: a file and its line, as far as there is one."""

    place: str
    said: str

    def __str__(self) -> str:
        return f"{self.place}: {self.said}"


def finding(error: InvalidRuleError) -> Finding:
    """An error with its place apart."""
    if toml := _TOML_LINE.match(error.detail):
        return Finding(f"{toml['name']}:{toml['line']}", f"not valid TOML: {toml['said']}")
    place = _PLACE.match(error.detail)
    return Finding(place["place"], place["said"]) if place else Finding("rules", error.detail)


def shipped_texts() -> dict[str, str]:
    """The rule files that come with the product."""
    return _texts(resources.files(ruleset.RULES_PACKAGE), "")


def preset_texts() -> dict[str, str]:
    """The presets among them, none of which binds unless it is set."""
    return _texts(resources.files(ruleset.RULES_PACKAGE) / "presets", "presets/")


def _texts(folder: Traversable, prefix: str) -> dict[str, str]:
    return {
        f"{prefix}{entry.name}": entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")
    }


def check_shipped() -> Iterator[Finding]:
    """What is wrong with the shipped rows, and with each preset beside them."""
    rows = shipped_texts()
    seen: set[Finding] = set()
    for texts in (rows, *({**rows, name: text} for name, text in sorted(preset_texts().items()))):
        for error in ruleset.check(texts):
            found = finding(error)
            if found not in seen:
                seen.add(found)
                yield found


def check_file(name: str, text: str) -> Iterator[Finding]:
    """What is wrong with a file that is to change rules: its rows, and two of one id that are in force together."""
    yield from map(finding, ruleset.check({name: text}))


def count(texts: Mapping[str, str]) -> int:
    """How many rows there are that can be used."""
    return sum(
        not isinstance(one, InvalidRuleError) for name, text in texts.items() for one in rule_file.check(name, text)
    )
