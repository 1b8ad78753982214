"""A rehearsal as a picture that stands by itself: an SVG for both colour schemes, with its figures as text."""

from __future__ import annotations

from html import escape
from typing import Final

from tenderline.compliance.hours import WEEKDAYS
from tenderline.recovery.preflight.run import Outcome

CELL_PX: Final = 26
LEFT_PX: Final = 60
TOP_PX: Final = 70
BAR_PX: Final = 22
BARS_MAX: Final = 20
WIDTH_PX: Final = LEFT_PX + 24 * CELL_PX + 20
DAYS_HEIGHT_PX: Final = 120
_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: currentColor }
.title { font-size: 16px; font-weight: 600 }
.quiet { opacity: .7 }
.cell, .bar { fill: #0f766e }
svg { color: #1f2933; background: #fff }
@media (prefers-color-scheme: dark) { svg { color: #e4e7eb; background: #12181f } .cell, .bar { fill: #2dd4bf } }
"""


def svg(outcome: Outcome, title: str) -> str:
    """Contacts by weekday and local hour, by day, and by the rule that held or refused them."""
    bars = [(f"held: {name}", count) for name, count in outcome.held_by.most_common(BARS_MAX)]
    bars += [(f"refused: {name}", count) for name, count in outcome.refused_by.most_common(BARS_MAX)]
    days_top = TOP_PX + 7 * CELL_PX + 60
    bars_top = days_top + DAYS_HEIGHT_PX + 60
    height = bars_top + len(bars) * BAR_PX + 30
    told = f"{outcome.sent:,} contacts to {outcome.people:,} people."
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}" role="img" '
            'aria-labelledby="title desc">',
            f'<title id="title">{escape(title)}</title><desc id="desc">{escape(told)}</desc>',
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="10" y="24">{escape(title)}</text><text x="10" y="44">{escape(told)}</text>',
            *_hours(outcome),
            *_days(outcome, days_top),
            *_bars(bars, bars_top),
            "</svg>\n",
        )
    )


def _hours(outcome: Outcome) -> list[str]:
    most = max(outcome.by_local_hour.values(), default=1)
    parts = [f'<text class="quiet" x="10" y="{TOP_PX - 8}">by weekday and hour where the person is</text>']
    for row, day in enumerate(WEEKDAYS):
        top = TOP_PX + row * CELL_PX
        parts.append(f'<text x="10" y="{top + 17}">{day}</text>')
        for hour in range(24):
            count = outcome.by_local_hour[day, hour]
            shade = 0.06 if not count else 0.2 + 0.8 * count / most
            parts.append(
                f'<rect class="cell" x="{LEFT_PX + hour * CELL_PX}" y="{top}" width="{CELL_PX - 2}" '
                f'height="{CELL_PX - 2}" opacity="{shade:.2f}"><title>{day} {hour:02}:00 {count:,}</title></rect>'
            )
    under = TOP_PX + 7 * CELL_PX + 14
    parts += [f'<text x="{LEFT_PX + hour * CELL_PX}" y="{under}">{hour:02}</text>' for hour in range(0, 24, 3)]
    return parts


def _days(outcome: Outcome, top: int) -> list[str]:
    days = sorted(outcome.by_day)
    parts = [f'<text class="quiet" x="10" y="{top - 8}">by day (UTC)</text>']
    most = max(outcome.by_day.values(), default=1)
    width = (WIDTH_PX - LEFT_PX - 20) / max(len(days), 1)
    for place, day in enumerate(days):
        height = DAYS_HEIGHT_PX * outcome.by_day[day] / most
        parts.append(
            f'<rect class="bar" x="{LEFT_PX + place * width:.1f}" y="{top + DAYS_HEIGHT_PX - height:.1f}" '
            f'width="{max(width - 1, 1):.1f}" height="{height:.1f}">'
            f"<title>{day} {outcome.by_day[day]:,}</title></rect>"
        )
    if days:
        under = top + DAYS_HEIGHT_PX + 16
        parts.append(f'<text x="{LEFT_PX}" y="{under}">{days[0]}</text>')
        parts.append(f'<text x="{WIDTH_PX - 20}" y="{under}" text-anchor="end">{days[-1]}</text>')
        parts.append(f'<text x="10" y="{top + 12}">{most:,}</text>')
    return parts


def _bars(bars: list[tuple[str, int]], top: int) -> list[str]:
    most = max((count for _, count in bars), default=1)
    parts = [f'<text class="quiet" x="10" y="{top - 8}">by rule</text>'] if bars else []
    for place, (name, count) in enumerate(bars):
        y = top + place * BAR_PX
        width = 260 * count / most
        parts.append(f'<rect class="bar" x="10" y="{y}" width="{width:.1f}" height="{BAR_PX - 8}"/>')
        parts.append(f'<text x="{width + 18:.1f}" y="{y + 12}">{escape(name)} {count:,}</text>')
    return parts
