"""A call flow as plain data: nodes, their exits, and the line each was written on, so that a fault can name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenderline.core.errors import ConfigurationError
from tenderline.flows.phrase import Text

NODES_MAX = 300
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Of flows, nodes and variables: it becomes an id in drawings and a key in timelines."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong with a flow, and where. `node` is empty when it concerns the whole flow."""

    file: str
    line: int
    node: str
    said: str

    def __str__(self) -> str:
        where = f'node "{self.node}": ' if self.node else ""
        return f"{self.file}:{self.line}: {where}{self.said}"


class InvalidFlowError(ConfigurationError):
    """A call flow cannot be used; each fault names the file, the line, the node and what is wrong."""

    code = "invalid_flow"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One place of a flow: a step with its parameters as they were written, and where each exit leads."""

    name: str
    step: str
    parameters: Mapping[str, Any]
    exits: Mapping[str, str]
    line: int
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    """Of keys below the node: `("text", "es")`."""

    def line_of(self, *keys: str) -> int:
        """Where a key was written; of one that has no line of its own, the nearest above it."""
        while keys:
            if found := self.lines.get(keys):
                return found
            keys = keys[:-1]
        return self.line


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A call flow. `version` is derived from its content: a running call keeps the one it began with."""

    file: str
    name: str
    title: str
    language: str
    """BCP 47; in this one a text stands that names none."""
    languages: tuple[str, ...]
    start: str
    nodes: Mapping[str, Node]
    version: str
    given: Mapping[str, str | int | bool | Mapping[str, str]] = field(default_factory=dict)
    """Variables that the number's table may set before the call begins, each with its value when it does not."""
    apology: Text | None = None
    """Said before hanging up when a step failed and no node was named for that."""
    on_error: str | None = None
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def line_of(self, *keys: str) -> int:
        """Where a key at the top was written; 1 for what was not."""
        return self.lines.get(keys, 1)
