"""A flow as a picture and as a text. The picture is SVG without styles or scripts: classes say what is what."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from tenderline.flows.graph import Flow, Node

WIDTH, HEIGHT = 190, 52
GAP_X, GAP_Y = 34, 58
MARGIN = 16
LABEL_CHARACTERS_MAX = 24


def _edges(flow: Flow, node: Node) -> list[tuple[str, str]]:
    """(exits, node) of a node, exits that lead to the same node together."""
    together: dict[str, list[str]] = {}
    for exit, to in node.exits.items():
        if to in flow.nodes:
            together.setdefault(to, []).append(exit)
    return [(", ".join(exits), to) for to, exits in together.items()]


def _rows(flow: Flow) -> list[list[str]]:
    """Nodes by their shortest way from the start: the start on top."""
    rows, seen, row = [], set(), [flow.start]
    if flow.on_error is not None and flow.on_error != flow.start:
        row.append(flow.on_error)
    while row:
        rows.append(row)
        seen |= set(row)
        following = dict.fromkeys(to for name in row for _, to in _edges(flow, flow.nodes[name]))
        row = [name for name in following if name not in seen]
    rest = [name for name in flow.nodes if name not in seen]
    return [*rows, rest] if rest else rows


def svg(flow: Flow, *, lit: Collection[str] = (), current: str | None = None) -> str:
    """The picture; nodes of `lit` have the class `lit`, the one where a call is has `current`."""
    rows = _rows(flow)
    widest = max(len(row) for row in rows)
    width = 2 * MARGIN + widest * WIDTH + (widest - 1) * GAP_X + 60
    height = 2 * MARGIN + len(rows) * HEIGHT + (len(rows) - 1) * GAP_Y
    at = {
        name: (
            MARGIN + (width - 2 * MARGIN - 60 - len(row) * WIDTH - (len(row) - 1) * GAP_X) // 2 + i * (WIDTH + GAP_X),
            MARGIN + j * (HEIGHT + GAP_Y),
        )
        for j, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flow" role="img" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" aria-labelledby="flow-title flow-desc">',
        f'<title id="flow-title">{escape(flow.title)}</title>',
        f'<desc id="flow-desc">{escape(text(flow))}</desc>',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto-start-reverse"><path class="arrow" d="M0 0 8 4 0 8z"/></marker></defs>',
    ]
    for node in flow.nodes.values():
        parts += [_edge(at, node.name, to, exits, width, lit) for exits, to in _edges(flow, node)]
    parts += [_box(flow, node, at[node.name], lit, current) for node in flow.nodes.values()]
    return "\n".join([*parts, "</svg>"])


def _edge(at: dict[str, tuple[int, int]], begin: str, end: str, exits: str, width: int, lit: Collection[str]) -> str:
    (x1, y1), (x2, y2) = at[begin], at[end]
    label = exits if len(exits) <= LABEL_CHARACTERS_MAX else exits[: LABEL_CHARACTERS_MAX - 1] + "…"
    kind = "edge lit" if begin in lit and end in lit else "edge"
    if y2 > y1:
        sx, sy, ex, ey = x1 + WIDTH // 2, y1 + HEIGHT, x2 + WIDTH // 2, y2
        bend = (ey - sy) // 2
        path = f"M{sx} {sy}C{sx} {sy + bend} {ex} {ey - bend} {ex} {ey}"
        tx, ty = (sx + ex) // 2, (sy + ey) // 2
    else:  # back, or to the side: around the right
        sx, sy, ex, ey = x1 + WIDTH, y1 + HEIGHT // 2, x2 + WIDTH, y2 + HEIGHT // 2
        out = min(width - 8, max(sx, ex) + 40)
        path = f"M{sx} {sy}C{out} {sy} {out} {ey} {ex} {ey}"
        tx, ty = out - 14, (sy + ey) // 2
    drawn = f'<path class="{kind}" d="{path}" marker-end="url(#arrow)"/>'
    return drawn if label == "next" else drawn + f'<text class="exit" x="{tx}" y="{ty}">{escape(label)}</text>'


def _box(flow: Flow, node: Node, place: tuple[int, int], lit: Collection[str], current: str | None) -> str:
    x, y = place
    kinds = ["node", f"step-{node.step.kind()}"]
    kinds += ["start"] if node.name == flow.start else []
    kinds += ["lit"] if node.name in lit else []
    kinds += ["current"] if node.name == current else []
    return (
        f'<g id="node-{escape(node.name)}" class="{" ".join(kinds)}"><title>{escape(node.step.about)}</title>'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x + WIDTH // 2}" y="{y + 22}">{escape(node.name)}</text>'
        f'<text class="kind" x="{x + WIDTH // 2}" y="{y + 40}">{escape(node.step.kind())}</text></g>'
    )


def text(flow: Flow) -> str:
    """Each node with its step and where its exits lead, in the order of the picture."""
    lines = [f"{flow.title} ({flow.name})"]
    for row in _rows(flow):
        for name in row:
            node = flow.nodes[name]
            lines.append(f"  {name}: {node.step.kind()}")
            lines += [f"    {exits} > {to}" for exits, to in _edges(flow, node)]
    return "\n".join(lines)
