"""Reads a flow from TOML. Every fault is named with its file, its line and its node."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import msgspec

from tenderline.core.errors import InvalidInputError
from tenderline.flows.graph import NODES_MAX, Flow, Node
from tenderline.flows.step import kinds

TEXT_BYTES_MAX = 256 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEADER = re.compile(r"\s*\[\s*node\s*\.\s*\"?([A-Za-z0-9_-]+)\"?\s*(?:\.\s*([A-Za-z0-9_]+)\s*)?\]\s*(?:#.*)?")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_*#-]+)\"?\s*=")
_HEAD_KEYS = frozenset({"name", "title", "languages", "start", "on_error", "node"})
_AT = re.compile(r" - at `\$\.?([^`\[.]*)[^`]*`$")


class InvalidFlowError(InvalidInputError):
    """The flow cannot be used; the message names file, line, node and what is wrong."""

    code = "invalid_flow"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong with a flow."""

    line: int
    node: str
    what: str

    def text(self, file: str) -> str:
        """As it is printed."""
        return f"{file}:{self.line}: {f'node {self.node!r}: ' if self.node else ''}{self.what}"


@dataclass(slots=True)
class _Lines:
    """Where nodes and keys stand."""

    head: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    keys: dict[tuple[str, str], int] = field(default_factory=dict)


def read(file: str, text: str) -> Flow:
    """The flow; raises `InvalidFlowError` with its first fault."""
    flow, faults = parse(file, text)
    if flow is None or faults:
        raise InvalidFlowError("; ".join(fault.text(file) for fault in sorted(faults)[:5]))
    return flow


def parse(file: str, text: str) -> tuple[Flow | None, list[Fault]]:
    """The flow as far as it can be read, and every fault of reading it. What the graph is like says `check`."""
    if len(text.encode()) > TEXT_BYTES_MAX:
        return None, [Fault(1, "", f"longer than {TEXT_BYTES_MAX} bytes; is it a flow?")]
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        return None, [Fault(int(found[1]) if found else 1, "", f"not valid TOML: {error}")]
    lines = _scan(text)
    faults = _head_faults(document, lines)
    raw = document.get("node", {})
    if not isinstance(raw, dict) or not raw:
        faults.append(Fault(1, "", "there is no node; write them as [node.greeting]"))
        return None, faults
    if len(raw) > NODES_MAX:
        faults.append(Fault(1, "", f"{len(raw)} nodes; at most {NODES_MAX} are read"))
        return None, faults
    nodes: dict[str, Node] = {}
    for name, table in raw.items():
        made = _node(name, table, lines, faults)
        if made is not None:
            nodes[name] = made
    start = document.get("start")
    if faults and not nodes:
        return None, faults
    flow = Flow(
        file=file,
        name=str(document.get("name", "")),
        title=str(document.get("title", "")),
        languages=tuple(str(one) for one in document.get("languages", ["en"])),
        start=start if isinstance(start, str) else next(iter(nodes), ""),
        nodes=nodes,
        on_error=document.get("on_error") if isinstance(document.get("on_error"), str) else None,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        head_lines=lines.head,
    )
    return flow, faults


def _scan(text: str) -> _Lines:
    """Lines of headers and keys; what stands inside a string of several lines is neither."""
    lines, node, within = _Lines(), None, None
    for number, line in enumerate(text.split("\n"), 1):
        if within is not None:
            if within in line:
                within = None
            continue
        header = _HEADER.fullmatch(line)
        key = _KEY.match(line)
        if header is not None:
            node = header[1]
            lines.nodes.setdefault(node, number)
            if header[2]:
                lines.keys.setdefault((node, header[2]), number)
        elif key is not None and node is None:
            lines.head.setdefault(key[1], number)
        elif key is not None and node is not None:
            lines.keys.setdefault((node, key[1]), number)
        for quotes in ('"""', "'''"):
            if line.count(quotes) % 2:
                within = quotes
    return lines


def _head_faults(document: dict[str, Any], lines: _Lines) -> list[Fault]:
    faults = []
    for key in sorted(set(document) - _HEAD_KEYS):
        near = get_close_matches(key, _HEAD_KEYS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        faults.append(Fault(lines.head.get(key, 1), "", f"unknown key {key!r}{hint}"))
    for key in ("name", "title", "start"):
        if not isinstance(document.get(key), str):
            faults.append(Fault(lines.head.get(key, 1), "", f"{key} is missing, or no text"))
    name = document.get("name")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        faults.append(Fault(lines.head.get("name", 1), "", f"{name!r} is no name; write it like line_check"))
    languages = document.get("languages", ["en"])
    if not isinstance(languages, list) or not languages or not all(isinstance(one, str) for one in languages):
        faults.append(Fault(lines.head.get("languages", 1), "", 'languages are a list such as ["en", "es"]'))
    return faults


def _node(name: str, table: Any, lines: _Lines, faults: list[Fault]) -> Node | None:
    line = lines.nodes.get(name, 1)

    def fault(key: str, what: str) -> None:
        faults.append(Fault(lines.keys.get((name, key), line), name, what))

    if not isinstance(table, dict) or not _NAME.fullmatch(name):
        fault("", "a node is a table with a name like ask_amount")
        return None
    kind = table.get("step")
    known = kinds()
    if not isinstance(kind, str) or kind not in known:
        near = get_close_matches(str(kind), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
        fault("step", f"there is no step {kind!r}{hint}")
        return None
    exits = _exits(table, fault)
    parameters = {key: value for key, value in table.items() if key not in ("step", "exits", "next")}
    try:
        step = msgspec.convert(parameters, known[kind])
    except msgspec.ValidationError as error:
        found = _AT.search(str(error))
        plain = _AT.sub("", str(error)).replace("Object contains", "there is an")
        plain = plain.replace("Object missing required field", "it lacks the parameter").replace("field", "parameter")
        unknown = re.search(r"unknown parameter `([^`]+)`", plain)
        key = unknown[1] if unknown else (found[1] if found else "")
        fault(key, f"{key + ': ' if key and not unknown else ''}{plain}")
        return None
    for key, what in step.faults():
        fault(key, what)
    keys = {key: number for (node, key), number in lines.keys.items() if node == name}
    return Node(name, step, exits, line, keys)


def _exits(table: dict[str, Any], fault: Any) -> dict[str, str]:
    exits = table.get("exits", {})
    if not isinstance(exits, dict) or not all(isinstance(one, str) for one in exits.values()):
        fault("exits", 'exits are a table such as { open = "menu", closed = "bye" }')
        exits = {}
    following = table.get("next")
    if following is None:
        return dict(exits)
    if not isinstance(following, str):
        fault("next", "next is the name of a node")
        return dict(exits)
    return {**exits, "next": following}
