"""Whom a caller of a queue may reach as time passes: in words, and as a small picture.

Columns are the queue's rings, all of one width however long they last: ten seconds matter as much as ten minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

from tenderline.core.queue_rings import PROFICIENCY_MIN, Ring, reaches
from tenderline.store.queues import Queue

LABEL_WIDTH_PX: Final = 190
COLUMN_WIDTH_PX: Final = 110
ROW_HEIGHT_PX: Final = 28
HEAD_HEIGHT_PX: Final = 26
BAR_HEIGHT_PX: Final = 18
LABEL_LENGTH_MAX: Final = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the picture: from which column to which something holds."""

    label: str
    kind: str
    first: int
    last: int
    text: str


def seconds(after_s: float) -> str:
    """`45 s`, `2 min`, `2 min 30 s`."""
    minutes, rest = divmod(round(after_s), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def in_words(queue: Queue) -> list[str]:
    """One sentence for each ring."""
    rings = queue.rings or (Ring(),)
    return [_sentence(ring, rings[place - 1] if place else None) for place, ring in enumerate(rings)]


def _sentence(ring: Ring, before: Ring | None) -> str:
    level = ring.proficiency_min
    known = "at any level" if level == PROFICIENCY_MIN else f"at level {level} or better"
    said: list[str] = []
    if before is None:
        said.append(f"agents who know every skill that the flow asks for, {known}")
    elif level != before.proficiency_min:
        said.append(f"skills count {known}")
    if ring.skills_dropped:
        said.append(f"no longer needed: {', '.join(ring.skills_dropped)}")
    if ring.queues_joined:
        said.append(f"also the agents of {', '.join(ring.queues_joined)}")
    start = "At once" if before is None else f"After {seconds(ring.after_s)}"
    return f"{start}: {'; '.join(said) or 'as before'}."


def bars(queue: Queue) -> list[Bar]:
    """Queues from when they join, skills until they are needed no more, and the level that is asked for."""
    rings = queue.rings or (Ring(),)
    found, end = reaches(queue.rings, queue.name), len(rings)
    joined: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for column, reach in enumerate(found):
        for name in sorted(reach.queues):
            joined.setdefault(name, column)
        for name in sorted(reach.skills_dropped):
            dropped.setdefault(name, column)
    rows = [Bar(f"agents of {name}", "queue", column, end, "") for name, column in joined.items()]
    rows += [Bar(f"needs {name}", "skill", 0, column, "") for name, column in dropped.items() if column]
    levels = [reach.proficiency_min for reach in found]
    if levels[0] > PROFICIENCY_MIN:
        for column, level in enumerate(levels):
            rows.append(
                Bar("level of skills" if column == 0 else "", "level", column, column + 1, f"{level} or better")
            )
    return rows


def svg(queue: Queue) -> str:
    """The picture; what it shows stands beside it in words, too."""
    rings = queue.rings or (Ring(),)
    lines: list[list[Bar]] = []
    for bar in bars(queue):
        if bar.kind == "level" and bar.first:
            lines[-1].append(bar)
        else:
            lines.append([bar])
    width = LABEL_WIDTH_PX + COLUMN_WIDTH_PX * len(rings) + 1
    height = HEAD_HEIGHT_PX + ROW_HEIGHT_PX * len(lines) + 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="reach" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape("Whom a caller may reach. " + " ".join(in_words(queue)))}">'
    ]
    for column, ring in enumerate(rings):
        x = LABEL_WIDTH_PX + COLUMN_WIDTH_PX * column
        parts.append(f'<line class="grid" x1="{x}" y1="4" x2="{x}" y2="{height}"/>')
        parts.append(
            f'<text class="hour" x="{x + 5}" y="16">{"at once" if column == 0 else seconds(ring.after_s)}</text>'
        )
    for place, line in enumerate(lines):
        top = HEAD_HEIGHT_PX + ROW_HEIGHT_PX * place
        for bar in line:
            parts += _bar(bar, top)
    return "\n".join([*parts, "</svg>"])


def _bar(bar: Bar, top_px: int) -> list[str]:
    x = LABEL_WIDTH_PX + COLUMN_WIDTH_PX * bar.first
    width = COLUMN_WIDTH_PX * (bar.last - bar.first) - 3
    label = bar.label if len(bar.label) <= LABEL_LENGTH_MAX else f"{bar.label[: LABEL_LENGTH_MAX - 1]}…"
    middle = top_px + BAR_HEIGHT_PX - 4
    shape = f'<rect class="{bar.kind}" x="{x + 1}" y="{top_px}" width="{width}" height="{BAR_HEIGHT_PX}" rx="4"/>'
    parts = [f'<text class="row" x="0" y="{middle}">{escape(label)}</text>', shape]
    if bar.text:
        parts.append(f'<text class="in" x="{x + 8}" y="{middle}">{escape(bar.text)}</text>')
    return parts
