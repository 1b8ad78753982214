"""Reading a flow from TOML: its form only. Whether it makes sense is for `check`.

Every fault is found at once and named with file and line; what can be read is handed on, so that one misspelt key does
not hide all that is wrong below it.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from tenderline.flows import toml_lines
from tenderline.flows.graph import NAME, NODES_MAX, Fault, Flow, InvalidFlowError, Node
from tenderline.flows.phrase import LANGUAGE, InvalidTextError, Text, text_of
from tenderline.flows.toml_lines import Keys

FLOW_BYTES_MAX = 256 * 1024
LANGUAGES_MAX = 20
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$| \(at end of document\)$")
_TOP = frozenset(
    {"name", "title", "language", "languages", "start", "given", "apology", "on_error", "node"},
)
_RESERVED = frozenset({"step", "exits", "next"})


def load(file: str, text: str) -> Flow:
    """The flow of a text; raises `InvalidFlowError` with all faults of its form."""
    flow, faults = read(file, text)
    if flow is None or faults:
        raise InvalidFlowError(faults)
    return flow


def read(file: str, text: str) -> tuple[Flow | None, tuple[Fault, ...]]:
    """The flow, as far as it can be read, and what is wrong with its form."""
    if len(text.encode()) > FLOW_BYTES_MAX:
        return None, (Fault(file, 1, "", f"is larger than {FLOW_BYTES_MAX} bytes; is it a flow?"),)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        said = str(error)[: at.start()] if at else str(error)
        return None, (Fault(file, line, "", f"is not valid TOML: {said}"),)
    except RecursionError:
        return None, (Fault(file, 1, "", "is not valid TOML: it is nested too deeply"),)
    reader = _Reader(file, document, toml_lines.lines_of(text))
    return reader.flow(), tuple(sorted(reader.faults))


class _Reader:
    """Reads one document, keeping what is wrong with it."""

    def __init__(self, file: str, document: Mapping[str, Any], lines: Mapping[Keys, int]) -> None:
        self.file = file
        self.document = document
        self.lines = lines
        self.faults: list[Fault] = []

    def flow(self) -> Flow | None:
        for key in self.document.keys() - _TOP:
            self.fault(f"unknown key {key!r}; there are {', '.join(sorted(_TOP))}", key)
        name = self.word("name", NAME, "a name such as donation_line")
        language = self.word("language", LANGUAGE, "a language such as en or es-MX")
        start = self.word("start", NAME, "the name of a node")
        title = self.document.get("title")
        if not isinstance(title, str) or not title.strip():
            self.fault("needs 'title', a line of text", "title")
            title = ""
        nodes = self.nodes()
        if not name or not language or not start or not nodes:
            return None
        return Flow(
            file=self.file,
            name=name,
            title=title,
            language=language,
            languages=self.languages(language),
            start=start,
            nodes=MappingProxyType(nodes),
            version=hashlib.sha256(msgspec.json.encode(self.document, order="sorted")).hexdigest()[:12],
            given=MappingProxyType(self.given()),
            apology=self.apology(language),
            on_error=self.word("on_error", NAME, "the name of a node") if "on_error" in self.document else None,
            lines=MappingProxyType(dict(self.lines)),
        )

    def fault(self, said: str, *keys: str, node: str = "") -> None:
        line = next((self.lines[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in self.lines), 1)
        self.faults.append(Fault(self.file, line, node, said))

    def word(self, key: str, pattern: re.Pattern[str], wanted: str) -> str:
        value = self.document.get(key)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.fault(f"needs {key!r}, {wanted}" if value is None else f"{key} = {value!r} is not {wanted}", key)
        return ""

    def languages(self, own: str) -> tuple[str, ...]:
        written = self.document.get("languages", [own])
        named = written if isinstance(written, list) else []
        usable = [one for one in named if isinstance(one, str) and LANGUAGE.fullmatch(one)]
        if own not in usable or len(usable) < len(named) or len(named) > LANGUAGES_MAX:
            self.fault(f'languages is a list such as ["en", "es"], with {own!r} among them', "languages")
        return tuple(dict.fromkeys((own, *usable)))

    def given(self) -> dict[str, str | int | bool | dict[str, str]]:
        value = self.document.get("given", {})
        if not isinstance(value, dict):
            self.fault("given is a table of variables, each with its value when the number's table sets none", "given")
            return {}
        for name, one in value.items():
            by_language = isinstance(one, dict) and bool(one) and all(isinstance(text, str) for text in one.values())
            if not NAME.fullmatch(name):
                self.fault(f"{name!r} is no name of a variable", "given", name)
            elif not by_language and not isinstance(one, str | int):
                self.fault(f"{name} is a text, a whole number, true, false, or texts by language", "given", name)
        return value

    def apology(self, language: str) -> Text | None:
        if "apology" not in self.document:
            return None
        try:
            return text_of(self.document["apology"], language)
        except InvalidTextError as error:
            self.fault(f"apology {error}", "apology")
            return None

    def nodes(self) -> dict[str, Node]:
        tables = self.document.get("node")
        if not isinstance(tables, dict) or not tables:
            self.fault("has no nodes; write [node.greeting] and below it step = …", "node")
            return {}
        if len(tables) > NODES_MAX:
            self.fault(f"has {len(tables)} nodes; at most {NODES_MAX} are read", "node")
            return {}
        return {name: self.node(name, table) for name, table in tables.items()}

    def node(self, name: str, table: object) -> Node:
        def fault(said: str, *keys: str) -> None:
            self.fault(said, "node", name, *keys, node=name)

        if not NAME.fullmatch(name):
            fault("a node's name is small letters, digits and underscores, 40 at most")
        if not isinstance(table, dict):
            fault("a node is a table: write [node.greeting] and below it step = …")
            return Node(name, "", {}, {}, self.lines.get(("node", name), 1))
        step = table.get("step")
        if not isinstance(step, str) or not step:
            fault("needs 'step', the name of a step such as say", "step")
            step = ""
        below = ("node", name)
        return Node(
            name=name,
            step=step,
            parameters=MappingProxyType({key: value for key, value in table.items() if key not in _RESERVED}),
            exits=MappingProxyType(_exits(table, fault)),
            line=self.lines.get(below, 1),
            lines=MappingProxyType({keys[2:]: line for keys, line in self.lines.items() if keys[:2] == below}),
        )


def _exits(table: Mapping[str, Any], fault: Callable[..., None]) -> dict[str, str]:
    exits = table.get("exits", {})
    if not isinstance(exits, dict):
        fault('exits is a table such as { next = "menu" }', "exits")
        exits = {}
    found = {key: value for key, value in exits.items() if isinstance(value, str)}
    for key in exits.keys() - found.keys():
        fault(f"the exit {key!r} must name a node", "exits", key)
    if "next" in table:
        if not isinstance(table["next"], str):
            fault("'next' must name a node", "next")
        elif "next" in exits:
            fault("has both 'next' and exits.next; keep one", "next")
        else:
            found["next"] = table["next"]
    return found
