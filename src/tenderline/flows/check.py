"""Proving a flow before a caller walks it. All faults at once, each with its file, line and node.

What is proved: every exit leads somewhere, every node can be reached and reaches an end, no circle runs without
asking or waiting for somebody, every variable is set and every needed fact holds on every way that leads to its use.
A step that takes a card needs only say `needs = {recording_off, amount_confirmed}` to be kept to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache

from tenderline.flows import dataflow, load, prepare, steps
from tenderline.flows.call import Value
from tenderline.flows.dataflow import Edge
from tenderline.flows.graph import Fault, Flow, InvalidFlowError, Node
from tenderline.flows.phrase import is_sayable
from tenderline.flows.step import AT_THE_START, RETURNED, Step, confirmed, reads, settable, texts
from tenderline.flows.steps import Steps
from tenderline.flows.variables import BUILT_IN

WAY_NODES_SHOWN_MAX = 12

Found = Iterator[Fault]


def checked(file: str, text: str, known: Steps | None = None) -> Flow:
    """A flow that may be used; raises `InvalidFlowError` with all its faults."""
    flow, faults = check_text(file, text, known)
    if flow is None or faults:
        raise InvalidFlowError(faults)
    return flow


def check_text(file: str, text: str, known: Steps | None = None) -> tuple[Flow | None, tuple[Fault, ...]]:
    """The flow of a text as far as it can be read, and all its faults in order of their lines."""
    flow, faults = load.read(file, text)
    return flow, faults if flow is None else tuple(sorted({*faults, *check(flow, known)}))


def check(flow: Flow, known: Steps | None = None) -> tuple[Fault, ...]:
    """Every fault of a flow. `known` are the steps there are; those that are shipped, unless said otherwise."""
    return tuple(sorted(set(_Checker(flow, steps.shipped() if known is None else known).faults())))


def returns(flow: Flow) -> bool:
    """Whether a flow gives the caller back at its end: it is called on a call that lasts, and fit for no line.

    Raises `InvalidFlowError`.
    """
    return any(RETURNED in step.ends for step in steps_of(flow).values())


@lru_cache(maxsize=256)
def steps_of(flow: Flow) -> Mapping[str, Step]:
    """The steps of a flow by the names of their nodes. Raises `InvalidFlowError`: nothing runs unchecked.

    It takes tens of milliseconds the first time and nothing later; ask when a flow is loaded, not when a call waits.
    """
    if faults := check(flow):
        raise InvalidFlowError(faults)
    return prepare.prepare(flow, steps.shipped()).steps


def words_of(flow: Flow) -> dict[str, tuple[str, ...]]:
    """All that a checked flow says besides values, by language: for whoever makes or looks for the clips beforehand."""
    steps = steps_of(flow).values()
    said = [text for step in steps for _, text in texts(step)]
    said += [flow.apology] if flow.apology else []
    return {
        language: tuple(
            dict.fromkeys(
                [
                    *(words for text in said for words in text.words(language)),
                    *(words for step in steps for words in step.more_words(language)),
                ]
            )
        )
        for language in flow.languages
    }


class _Checker:
    """Looks one flow over. Where one fault is known, what only follows from it is not named as well."""

    def __init__(self, flow: Flow, known: Steps) -> None:
        self.flow = flow
        self.prepared = prepare.prepare(flow, known)
        self.steps: Mapping[str, Step] = self.prepared.steps
        self.nexts = {node.name: [to for to in node.exits.values() if to in flow.nodes] for node in flow.nodes.values()}
        self.reached = self._reached()

    def faults(self) -> Found:
        yield from self.prepared.faults
        yield from self._top()
        for node in self.flow.nodes.values():
            yield from self._targets(node)
            if step := self.steps.get(node.name):
                yield from self._wiring(node, step)
                yield from self._texts(node, step)
                yield from (self._fault(node, said, *keys) for keys, said in step.faults(self.flow))
        yield from self._two_kinds_of_ends()
        yield from self._unreachable()
        yield from self._endless()
        yield from self._circles()
        yield from self._what_holds()

    def _fault(self, node: Node, said: str, *keys: str) -> Fault:
        return Fault(self.flow.file, node.line_of(*keys), node.name, said)

    def _exit_fault(self, node: Node, exit: str, said: str) -> Fault:
        keys = (exit,) if exit == "next" and ("next",) in node.lines else ("exits", exit)
        return self._fault(node, said, *keys)

    def _top(self) -> Found:
        flow = self.flow
        for key, name in (("start", flow.start), ("on_error", flow.on_error)):
            if name is not None and name not in flow.nodes:
                said = f"{key} names {name!r}, and there is no such node{_near(name, flow.nodes)}"
                yield Fault(flow.file, flow.line_of(key), "", said)
        for name, value in flow.given.items():
            line = flow.line_of("given", name)
            if name in BUILT_IN:
                yield Fault(flow.file, line, "", f"given: {name!r} is known of every call and cannot be given")
            if isinstance(value, Mapping):
                for said in _language_faults(flow, value):
                    yield Fault(flow.file, line, "", f"given: {name} {said}")
        if flow.apology is not None:
            line = flow.line_of("apology")
            if flow.apology.variables:
                yield Fault(flow.file, line, "", "apology names a variable; it must be sayable whatever went wrong")
            for said in _language_faults(flow, flow.apology.by_language):
                yield Fault(flow.file, line, "", f"apology {said}")

    def _targets(self, node: Node) -> Found:
        for exit, to in node.exits.items():
            if to not in self.flow.nodes:
                near = _near(to, self.flow.nodes)
                yield self._exit_fault(node, exit, f"exit {exit!r} leads to {to!r}, and there is no such node{near}")

    def _wiring(self, node: Node, step: Step) -> Found:
        exits = step.exits()
        for exit in node.exits:
            if exit not in exits:
                offered = f"there are {', '.join(exits)}" if exits else "the call ends here"
                yield self._exit_fault(node, exit, f"unknown exit {exit!r} of the step {node.step}; {offered}")
        for exit in exits:
            if exit not in node.exits:
                yield self._fault(node, f"the exit {exit!r} of the step {node.step} leads nowhere; wire it", "exits")

    def _texts(self, node: Node, step: Step) -> Found:
        for keys, text in texts(step):
            for said in _language_faults(self.flow, text.by_language):
                yield self._fault(node, f"{keys[0]} {said}", *keys)

    def _reached(self) -> frozenset[str]:
        starts = [name for name in (self.flow.start, self.flow.on_error) if name in self.flow.nodes and name]
        return dataflow.reached(starts, self.nexts)

    def _unreachable(self) -> Found:
        if self.flow.start not in self.flow.nodes:
            return
        for node in self.flow.nodes.values():
            if node.name not in self.reached:
                yield self._fault(node, f"cannot be reached from {self.flow.start!r}")

    def _endless(self) -> Found:
        back: dict[str, list[str]] = {}
        for name, nexts in self.nexts.items():
            for to in nexts:
                back.setdefault(to, []).append(name)
        ends = dataflow.reached([node.name for node in self.flow.nodes.values() if self._may_end(node)], back)
        for node in self.flow.nodes.values():
            if node.name in self.reached and node.name not in ends:
                yield self._fault(node, "no way leads from here to an end of the call")

    def _two_kinds_of_ends(self) -> Found:
        """Whoever called the flow gets the caller back on every way, or on none."""
        if not any(RETURNED in step.ends for step in self.steps.values()):
            return
        for name, step in self.steps.items():
            if step.ends and RETURNED not in step.ends:
                node = self.flow.nodes[name]
                said = f"the step {node.step} ends the call, in a flow that gives the caller back by the step return"
                yield self._fault(node, said, "step")

    def _may_end(self, node: Node) -> bool:
        """Also true of a node with a fault of its own: where it leads is not known yet."""
        step = self.steps.get(node.name)
        return (
            step is None or bool(step.ends) or any(node.exits.get(exit) not in self.flow.nodes for exit in step.exits())
        )

    def _circles(self) -> Found:
        hasty = {
            name: [to for exit in step.exits() if not step.waits_on(exit) and (to := self._to(name, exit))]
            for name, step in self.steps.items()
        }
        for ring in dataflow.circles(hasty):
            first = min((self.flow.nodes[name] for name in ring), key=lambda node: node.line)
            named = " > ".join(sorted(ring, key=lambda name: self.flow.nodes[name].line))
            said = f"a circle in which nobody is asked or waited for: {named}"
            yield self._fault(first, said)

    def _to(self, name: str, exit: str) -> str | None:
        to = self.flow.nodes[name].exits.get(exit)
        return to if to in self.flow.nodes else None

    def _what_holds(self) -> Found:
        flow = self.flow
        if flow.start not in flow.nodes:
            return
        start = frozenset({*map(_fact, AT_THE_START), *map(_variable, BUILT_IN), *map(_variable, flow.given)})
        edges = {name: self._edges(name) for name in self.steps}
        holds = dataflow.surely(flow.start, start, edges)
        samples = self._samples()
        somewhere = {name for step in self.steps.values() for _, name in settable(step)} | {*flow.given, *BUILT_IN}
        for name, step in self.steps.items():
            if name not in holds:
                continue
            for keys, text in texts(step):
                for one in sorted(text.placeholders, key=str):
                    held = (
                        (step.brings[one.variable],) if one.variable in step.brings else samples.get(one.variable, ())
                    )
                    if not all(is_sayable(one, value) for value in held):
                        said = f"the variable {one.variable!r} is set to what cannot be said as {one.kind or 'it is'}"
                        yield self._fault(flow.nodes[name], said, *keys)
            for keys, variable in sorted(set(reads(step))):
                if variable not in step.brings and _variable(variable) not in holds[name]:
                    way = dataflow.way_without(flow.start, start, edges, name, _variable(variable))
                    if variable not in somewhere:
                        said = f"the variable {variable!r} is set by no step{_near(variable, somewhere)}"
                    else:
                        said = f"the variable {variable!r} is not set on the way {_shown(way)}"
                    yield self._fault(flow.nodes[name], said, *keys)
            for fact in sorted(step.needs):
                if _fact(fact) not in holds[name]:
                    way = dataflow.way_without(flow.start, start, edges, name, _fact(fact))
                    said = (
                        f"the step {flow.nodes[name].step} needs {fact}, which does not hold on the way {_shown(way)}"
                    )
                    yield self._fault(flow.nodes[name], said)

    def _samples(self) -> dict[str, list[Value]]:
        """Examples of what each variable may hold, whoever sets it."""
        found: dict[str, list[Value]] = {"called": ["+1"], "caller": ["+1"], "language": [self.flow.language]}
        for name, value in self.flow.given.items():
            found[name] = [value] if isinstance(value, str | int) else list(value.values())
        for step in self.steps.values():
            for name, sample in step.samples().items():
                found.setdefault(name, []).append(sample)
        return found

    def _edges(self, name: str) -> list[Edge]:
        """The ways out of a node. One to the node for errors may leave in the middle of a step: it gives nothing."""
        step = self.steps[name]
        edges: list[Edge] = []
        lost: set[object] = set()
        for exit in (*step.exits(), *step.ends):
            sets = step.sets_on(exit)
            gone = {*map(_fact, step.takes_away_on(exit)), *(_fact(confirmed(variable)) for variable in sets)}
            lost |= gone
            if to := self._to(name, exit):
                gives = frozenset({*map(_fact, step.gives_on(exit)), *map(_variable, sets)})
                edges.append(Edge(to, gives, frozenset(gone)))
        if self.flow.on_error in self.flow.nodes and self.flow.on_error is not None:
            edges.append(Edge(self.flow.on_error, frozenset(), frozenset(lost)))
        return edges


def _fact(name: str) -> tuple[str, str]:
    return "fact", name


def _variable(name: str) -> tuple[str, str]:
    return "variable", name


def _language_faults(flow: Flow, by_language: Mapping[str, object]) -> Iterator[str]:
    if missing := [one for one in flow.languages if one not in by_language]:
        yield f"is missing in {', '.join(missing)}; the flow speaks {', '.join(flow.languages)}"
    if odd := [one for one in by_language if one not in flow.languages]:
        yield f"is written in {', '.join(odd)}; the flow speaks {', '.join(flow.languages)}"


def _near(name: str, known: Mapping[str, object] | set[str]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(way: tuple[str, ...]) -> str:
    shown = way if len(way) <= WAY_NODES_SHOWN_MAX else (*way[:3], "…", *way[4 - WAY_NODES_SHOWN_MAX :])
    return " > ".join(shown)
