"""A flow as a picture: SVG for the screen, a tree for the terminal. The same flow is always the same picture.

Nodes stand in rows by the least number of steps from the start, so a way forward leads to the next row, and every other
way (back, or to the same row) runs along the right side. Colours are the page's business: shapes have classes and
`currentColor`, and no style of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from tenderline.flows.graph import Flow, Node

NAME_CHARACTER_PX = 7.6
LABEL_CHARACTER_PX = 6.8
BOX_HEIGHT_PX = 46
BOX_WIDTH_MIN_PX = 120
GAP_PX = 28
LABEL_HEIGHT_PX = 20
TRACK_PX = 8
LANE_PX = 14
MARGIN_PX = 20
ARROW_PX = 5
SUMMARY_CHARACTERS_MAX = 100


@dataclass(slots=True)
class _Edge:
    """All exits of a node that lead to the same one."""

    start: str
    to: str
    exits: list[str]
    port_px: float = 0

    @property
    def label(self) -> str:
        return "" if self.exits == ["next"] else ", ".join(self.exits)


@dataclass(slots=True)
class _Box:
    """Where a node stands."""

    node: Node
    row: int
    edges: list[_Edge]
    width_px: float = 0
    left_px: float = 0
    top_px: float = 0

    @property
    def centre_px(self) -> float:
        return self.left_px + self.width_px / 2

    @property
    def bottom_px(self) -> float:
        return self.top_px + BOX_HEIGHT_PX


@dataclass(slots=True)
class _Layout:
    """All boxes, and the room on the right for the ways that lead back."""

    rows: list[list[_Box]]
    boxes: dict[str, _Box]
    width_px: float = 0
    height_px: float = 0
    lanes: dict[str, float] = field(default_factory=dict)
    """Of each node that ways lead back to: the x of its lane."""
    tracks: dict[tuple[str, str], float] = field(default_factory=dict)
    """Of each way back: the y at which it leaves its row."""


def svg(flow: Flow, *, lit: Collection[str] = (), lit_edges: Collection[tuple[str, str]] = ()) -> str:
    """The picture. `lit` are names of nodes and `lit_edges` pairs of a node and its exit: the path of a call."""
    layout = _layout(flow)
    width, height = round(layout.width_px), round(layout.height_px)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flow" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="flow-title flow-desc" font-family="sans-serif" font-size="13">',
        f'<title id="flow-title">{escape(flow.title)}</title>',
        f'<desc id="flow-desc">{escape(_description(flow))}</desc>',
    ]
    for box in layout.boxes.values():
        for edge in box.edges:
            is_lit = any((edge.start, exit) in lit_edges for exit in edge.exits)
            parts += _edge_shape(layout, edge, " lit" if is_lit else "")
    for box in layout.boxes.values():
        parts += _box_shape(flow, box, " lit" if box.node.name in lit else "")
    return "\n".join([*parts, "</svg>", ""])


def tree(flow: Flow) -> str:
    """The flow for a terminal; a node that was drawn already is only named again."""
    lines = [f"{flow.title} ({flow.name}, version {flow.version}; {', '.join(flow.languages)})"]
    seen: set[str] = set()
    for root in dict.fromkeys(name for name in (flow.start, flow.on_error, *flow.nodes) if name):
        if root in flow.nodes and root not in seen:
            remark = {flow.start: "", flow.on_error: "  (when a step fails)"}.get(root, "  (cannot be reached)")
            lines.append("")
            lines += _tree_lines(flow, root, seen, remark)
    return "\n".join(lines) + "\n"


def _tree_lines(flow: Flow, root: str, seen: set[str], remark: str) -> Iterator[str]:
    """Depth first, without recursion: a flow may be a long chain."""
    waiting: list[tuple[str, str, str, bool]] = [(root, "", "", True)]
    while waiting:
        name, indent, exits, is_last = waiting.pop()
        is_root = not exits
        branch = "" if is_root else f"{indent}{'└─' if is_last else '├─'} {exits} → "
        node = flow.nodes.get(name)
        if node is None:
            yield f"{branch}{name}  (there is no such node)"
            continue
        if name in seen:
            yield f"{branch}{name} ↑"
            continue
        seen.add(name)
        yield f"{branch}{name} [{node.step}]{remark if is_root else ''}"
        below = indent if is_root else f"{indent}{'   ' if is_last else '│  '}"
        edges = _edges(node)
        for position, edge in reversed(list(enumerate(edges))):
            waiting.append((edge.to, below, ", ".join(edge.exits), position == len(edges) - 1))


def _edges(node: Node) -> list[_Edge]:
    grouped: dict[str, list[str]] = {}
    for exit, to in node.exits.items():
        grouped.setdefault(to, []).append(exit)
    return [_Edge(node.name, to, exits) for to, exits in grouped.items()]


def _layout(flow: Flow) -> _Layout:
    rows = [
        [_Box(flow.nodes[name], row, _edges(flow.nodes[name])) for name in names]
        for row, names in enumerate(_rows(flow))
    ]
    layout = _Layout(rows, {box.node.name: box for boxes in rows for box in boxes})
    order = {name: position for position, name in enumerate(layout.boxes)}
    for box in layout.boxes.values():
        box.edges = [edge for edge in box.edges if edge.to in layout.boxes]
        box.edges.sort(key=lambda edge: (not _leads_on(layout, edge), order[edge.to]))
        labels_px = sum(_label_px(edge) for edge in box.edges)
        name_px = max(len(box.node.name), len(box.node.step)) * NAME_CHARACTER_PX + 24
        box.width_px = max(BOX_WIDTH_MIN_PX, name_px, labels_px)
    _place(layout)
    return layout


def _rows(flow: Flow) -> list[list[str]]:
    """Names by the least number of steps from the start, in the order in which they are met."""
    rows: list[list[str]] = []
    seen: set[str] = set()

    def grow(row: list[str]) -> None:
        depth = 0
        while row:
            seen.update(row)
            if depth == len(rows):
                rows.append([])
            rows[depth] += row
            nexts = (to for name in row for to in flow.nodes[name].exits.values())
            row = [to for to in dict.fromkeys(nexts) if to in flow.nodes and to not in seen]
            depth += 1

    for root in (flow.start, flow.on_error, *flow.nodes):
        if root in flow.nodes and root is not None and root not in seen:
            grow([root])
    return rows


def _leads_on(layout: _Layout, edge: _Edge) -> bool:
    return layout.boxes[edge.to].row == layout.boxes[edge.start].row + 1


def _label_px(edge: _Edge) -> float:
    return max(24, len(edge.label) * LABEL_CHARACTER_PX + 14)


def _place(layout: _Layout) -> None:
    widths_px = [sum(box.width_px for box in row) + GAP_PX * (len(row) - 1) for row in layout.rows]
    widest_px = max(widths_px)
    y_px: float = MARGIN_PX
    for row, width_px in zip(layout.rows, widths_px, strict=True):
        x_px = MARGIN_PX + (widest_px - width_px) / 2
        backs = [edge for box in row for edge in box.edges if not _leads_on(layout, edge)]
        for box in row:
            box.left_px, box.top_px = x_px, y_px
            x_px += box.width_px + GAP_PX
            _place_ports(box)
        y_px += BOX_HEIGHT_PX + LABEL_HEIGHT_PX
        # The way that leaves farthest to the right takes the highest track, so that none crosses another's way down.
        for edge in sorted(backs, key=lambda one: -one.port_px):
            y_px += TRACK_PX
            layout.tracks[edge.start, edge.to] = y_px
        y_px += 2 * GAP_PX
    targets = sorted({to for _, to in layout.tracks}, key=lambda name: (-layout.boxes[name].row, name))
    right_px = MARGIN_PX + widest_px
    layout.lanes = {name: right_px + LANE_PX * (position + 1) for position, name in enumerate(targets)}
    layout.width_px = right_px + LANE_PX * (len(targets) + 1) + MARGIN_PX
    layout.height_px = y_px - GAP_PX + MARGIN_PX


def _place_ports(box: _Box) -> None:
    labels_px = sum(_label_px(edge) for edge in box.edges)
    x_px = box.left_px + (box.width_px - labels_px) / 2
    for edge in box.edges:
        edge.port_px = x_px + (8 if edge.label else _label_px(edge) / 2)
        x_px += _label_px(edge)


def _edge_shape(layout: _Layout, edge: _Edge, lit: str) -> Iterator[str]:
    start, end = layout.boxes[edge.start], layout.boxes[edge.to]
    leave_px, x_px, tip_px = start.bottom_px + LABEL_HEIGHT_PX, edge.port_px, end.top_px
    head = f"M{x_px:.0f} {start.bottom_px:.0f}V{leave_px:.0f}"
    if _leads_on(layout, edge):
        into_px = end.centre_px
        middle_px = (leave_px + tip_px) / 2
        line = f"{head}C{x_px:.0f} {middle_px:.0f} {into_px:.0f} {middle_px:.0f} {into_px:.0f} {tip_px:.0f}"
    else:
        into_px = end.left_px + end.width_px - 14
        lane_px, track_px = layout.lanes[edge.to], layout.tracks[edge.start, edge.to]
        line = f"{head}V{track_px:.0f}H{lane_px:.0f}V{tip_px - 14:.0f}H{into_px:.0f}V{tip_px:.0f}"
    kind = "on" if _leads_on(layout, edge) else "back"
    yield f'<g class="edge {kind}{lit}" data-from={quoteattr(edge.start)} data-to={quoteattr(edge.to)}>'
    yield f'<path class="way" d="{line}" fill="none" stroke="currentColor"/>'
    left_px, right_px, back_px = into_px - ARROW_PX, into_px + ARROW_PX, tip_px - 2 * ARROW_PX
    tip = f"M{into_px:.0f} {tip_px:.0f}L{left_px:.0f} {back_px:.0f}H{right_px:.0f}Z"
    yield f'<path class="tip" d="{tip}" fill="currentColor"/>'
    if edge.label:
        y_px = start.bottom_px + LABEL_HEIGHT_PX - 6
        yield (
            f'<text class="exit" x="{x_px + 4:.0f}" y="{y_px:.0f}" font-size="11" '
            f'fill="currentColor">{escape(edge.label)}</text>'
        )
    yield "</g>"


def _box_shape(flow: Flow, box: _Box, lit: str) -> Iterator[str]:
    node = box.node
    ends = "" if node.exits else " end"
    starts = " start" if node.name == flow.start else ""
    errors = " on-error" if node.name == flow.on_error else ""
    kind = f"node step-{node.step}{starts}{errors}{ends}{lit}"
    yield f"<g id={quoteattr('node-' + node.name)} class={quoteattr(kind)}>"
    yield f"<title>{escape(summary(flow, node))}</title>"
    yield (
        f'<rect x="{box.left_px:.0f}" y="{box.top_px:.0f}" width="{box.width_px:.0f}" height="{BOX_HEIGHT_PX}" '
        f'rx="{BOX_HEIGHT_PX // 2 if ends else 6}" fill="none" stroke="currentColor"/>'
    )
    yield (
        f'<text class="name" x="{box.centre_px:.0f}" y="{box.top_px + 20:.0f}" text-anchor="middle" '
        f'fill="currentColor">{escape(node.name)}</text>'
    )
    yield (
        f'<text class="step" x="{box.centre_px:.0f}" y="{box.top_px + 36:.0f}" text-anchor="middle" font-size="11" '
        f'fill="currentColor">{escape(node.step)}</text>'
    )
    yield "</g>"


def summary(flow: Flow, node: Node) -> str:
    """A node in one line: its name, its step, and the beginning of what it says."""
    text = node.parameters.get("text")
    if isinstance(text, dict):
        text = text.get(flow.language)
    line = f"{node.name}: {node.step}"
    if not isinstance(text, str):
        return line
    said = " ".join(text.split())
    return f"{line}, “{said if len(said) <= SUMMARY_CHARACTERS_MAX else said[: SUMMARY_CHARACTERS_MAX - 1] + '…'}”"


def _description(flow: Flow) -> str:
    ends = sum(not node.exits for node in flow.nodes.values())
    return f"A call flow of {len(flow.nodes)} steps. It begins at {flow.start}; {ends} of them end the call."
