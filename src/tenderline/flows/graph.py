"""A flow: a graph of steps with named exits. Never changed once it is read; a call keeps the one it began with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tenderline.flows.step import Step

NODES_MAX = 500


@dataclass(frozen=True, slots=True)
class Node:
    """A step in its place: where each exit leads, and the lines of the file that say so."""

    name: str
    step: Step
    exits: Mapping[str, str]
    line: int
    lines: Mapping[str, int] = field(default_factory=dict)

    def line_of(self, key: str) -> int:
        """The line of one of its keys; that of the node when it has none."""
        return self.lines.get(key, self.line)


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as it is run. `file` is what faults are named by."""

    file: str
    name: str
    title: str
    languages: tuple[str, ...]
    start: str
    nodes: Mapping[str, Node]
    on_error: str | None
    digest: str
    head_lines: Mapping[str, int] = field(default_factory=dict)
