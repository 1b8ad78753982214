"""Turning the nodes of a flow into steps, once for each flow: what can be said about its parameters is said here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from tenderline.flows import step
from tenderline.flows.graph import Fault, Flow
from tenderline.flows.step import Step
from tenderline.flows.steps import Steps


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The steps of a flow by the names of their nodes; those that could not be read are not among them."""

    steps: Mapping[str, Step]
    faults: tuple[Fault, ...]


def prepare(flow: Flow, known: Steps) -> Prepared:
    """The steps of a flow, and what is wrong with those that cannot be read."""
    made: dict[str, Step] = {}
    faults: list[Fault] = []
    for node in flow.nodes.values():
        kind = known.get(node.step)
        if kind is None:
            if node.step:  # one that is missing was named by the reader
                near = get_close_matches(node.step, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"
                faults.append(Fault(flow.file, node.line_of("step"), node.name, f"unknown step {node.step!r}{hint}"))
            continue
        found, wrong = step.read(kind, node, flow.language)
        faults += [Fault(flow.file, node.line_of(*keys), node.name, said) for keys, said in wrong]
        if found is not None:
            made[node.name] = found
    return Prepared(made, tuple(faults))
