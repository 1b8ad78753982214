"""Proves of a flow what can be proven before a call takes it; every fault is named with its node and line.

Every exit is wired and leads to a node, every node is reached and leads to an end, no circle goes round without
anybody being asked, every variable is set and every fact holds wherever it is needed, whichever way a call came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tenderline.flows import phrase
from tenderline.flows.graph import Flow, Node
from tenderline.flows.load import Fault, parse
from tenderline.flows.phrase import BadPhraseError
from tenderline.flows.step import ALWAYS


def text(file: str, content: str) -> list[Fault]:
    """Every fault of a flow's text, in the order of its lines."""
    flow, faults = parse(file, content)
    if flow is not None:
        faults = [*faults, *graph(flow)]
    return sorted(set(faults))


def graph(flow: Flow) -> list[Fault]:
    """Every fault of a flow that could be read."""
    faults = [*_wiring(flow), *_texts(flow)]
    if any(one not in flow.nodes for one in (flow.start, flow.on_error) if one is not None):
        return faults
    return [*faults, *_reach(flow), *_circles(flow), *_facts(flow)]


def _edges(flow: Flow, node: Node) -> list[tuple[str, str]]:
    """(exit, node) of the exits that lead somewhere."""
    known = node.step.exits(frozenset(node.exits))
    return [(exit, to) for exit, to in node.exits.items() if exit in known and to in flow.nodes]


def _wiring(flow: Flow) -> Iterable[Fault]:
    for key, value in (("start", flow.start), ("on_error", flow.on_error)):
        if value is not None and value not in flow.nodes:
            yield Fault(flow.head_lines.get(key, 1), "", f"{key} leads to {value!r}, which is no node")
    for node in flow.nodes.values():
        exits = node.step.exits(frozenset(node.exits))
        for exit in sorted(exits - set(node.exits)):
            yield Fault(node.line, node.name, f"the exit {exit!r} leads nowhere")
        for exit, to in node.exits.items():
            if exit not in exits:
                there = ", ".join(sorted(exits)) or "none"
                yield Fault(
                    node.line_of(exit), node.name, f"{node.step.kind()} has no exit {exit!r}; there are: {there}"
                )
            elif to not in flow.nodes:
                yield Fault(node.line_of(exit), node.name, f"the exit {exit!r} leads to {to!r}, which is no node")


def _texts(flow: Flow) -> Iterable[Fault]:
    for node in flow.nodes.values():
        for key, wording in node.step.texts().items():
            if isinstance(wording, dict):
                for language in flow.languages:
                    if language not in wording:
                        yield Fault(node.line_of(key), node.name, f"{key} says nothing in {language!r}")
            elif len(flow.languages) > 1:
                yield Fault(
                    node.line_of(key), node.name, f"{key} is in one language; the flow has {', '.join(flow.languages)}"
                )
            for one in [wording] if isinstance(wording, str) else wording.values():
                try:
                    phrase.places(one)
                except BadPhraseError as error:
                    yield Fault(node.line_of(key), node.name, f"{key}: {error.detail}")


def _reach(flow: Flow) -> Iterable[Fault]:
    reached: set[str] = set()
    waiting = [one for one in (flow.start, flow.on_error) if one is not None]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [to for _, to in _edges(flow, flow.nodes[name])]
    for node in flow.nodes.values():
        if node.name not in reached:
            yield Fault(node.line, node.name, "no way leads here")
    ends = {node.name for node in flow.nodes.values() if node.step.is_end}
    before: dict[str, set[str]] = defaultdict(set)
    for node in flow.nodes.values():
        for _, to in _edges(flow, node):
            before[to].add(node.name)
    waiting = list(ends)
    while waiting:
        for name in before[waiting.pop()] - ends:
            ends.add(name)
            waiting.append(name)
    for node in flow.nodes.values():
        if node.name not in ends and node.name in reached:
            yield Fault(node.line, node.name, "no way leads from here to an end of the call")


def _circles(flow: Flow) -> Iterable[Fault]:
    """Circles of steps that all go on at once."""
    hasty = {node.name for node in flow.nodes.values() if not node.step.waits and not node.step.is_end}
    state: dict[str, int] = {}

    def visit(name: str, way: list[str]) -> list[str] | None:
        state[name] = 1
        for _, to in _edges(flow, flow.nodes[name]):
            if to not in hasty:
                continue
            if state.get(to) == 1:
                return [*way[way.index(to) :], to] if to in way else [name, to]
            if to not in state and (found := visit(to, [*way, to])):
                return found
        state[name] = 2
        return None

    for name in sorted(hasty):
        if name not in state and (circle := visit(name, [name])):
            node = flow.nodes[circle[0]]
            yield Fault(node.line, node.name, f"a circle in which nobody is asked anything: {' > '.join(circle)}")
            return


def _facts(flow: Flow) -> Iterable[Fault]:
    """What holds on every way to each node, found by going on until nothing changes."""
    known: dict[str, frozenset[str]] = {flow.start: ALWAYS}
    if flow.on_error is not None:
        known[flow.on_error] = ALWAYS  # a defect may come anywhere: nothing else is sure there
    waiting = list(known)
    while waiting:
        node = flow.nodes[waiting.pop()]
        for exit, to in _edges(flow, node):
            after = (known[node.name] - node.step.takes_away(exit)) | node.step.gives(exit)
            before = known.get(to)
            merged = after if before is None else before & after
            if merged != before:
                known[to] = merged
                waiting.append(to)
    for node in flow.nodes.values():
        if node.name not in known:
            continue
        for fact in sorted(_needed(node) - known[node.name]):
            if fact.startswith("$"):
                what = f"the variable {fact[1:]!r} is not set on every way to here"
            else:
                what = f"{fact.replace('_', ' ')} does not hold on every way to here"
            yield Fault(node.line, node.name, what)


def _needed(node: Node) -> frozenset[str]:
    needed = set(node.step.needs())
    for wording in node.step.texts().values():
        for one in [wording] if isinstance(wording, str) else wording.values():
            try:
                needed |= {f"${name}" for name, _ in phrase.places(one)}
            except BadPhraseError:
                continue  # named already
    return frozenset(needed)
