"""The small pieces that a floor has hundreds of, by hand: a macro for each would cost most of a redraw.

Whatever comes from outside is escaped here, as a template would. And a row that shows what it showed before is not
drawn again: what happens on a floor changes one or two of them.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from jinja2 import Environment, pass_environment
from markupsafe import Markup, escape

from tenderline.desk.floor import PERIODS
from tenderline.desk.floor_agents import DOINGS, AgentLine

ROWS_KEPT_MAX: Final = 2_000
"""About 2 KB each."""
_DASH: Final = Markup('<span class="mute">–</span>')


def running(at: datetime, *, down: bool = False) -> Markup:
    """An instant; the browser lets the time since then, or until then, run on."""
    utc = at.astimezone(UTC)
    way = "down" if down else "up"
    day, clock = f"{utc:%Y-%m-%d}", f"{utc:%H:%M:%S}"
    return Markup(f'<time data-run="{way}" datetime="{day}T{clock}Z" title="{day} {clock} UTC">{clock}</time>')  # noqa: S704


def figure(number: int, href: str, said: str, *, look: bool = False) -> Markup:
    """A number that opens its rows. `said` tells those who hear the page what it counts."""
    kind = "figure look" if look else "figure" if number else "figure none"
    return Markup(f'<a class="{kind}" href="{escape(href)}">{number}<span class="unseen"> {escape(said)}</span></a>')  # noqa: S704


def level(percent: int | None, is_met: bool, href: str, said: str) -> Markup:
    """A service level; a mark and a word say what the colour says."""
    if percent is None:
        return _DASH
    kind, mark, word = ("met", "✓", "target met") if is_met else ("missed", "▼", "below target")
    return Markup(  # noqa: S704
        f'<a class="figure {kind}" href="{escape(href)}"><span aria-hidden="true">{mark}</span> {percent} %'
        f'<span class="unseen"> {word}, {escape(said)}</span></a>'
    )


def state(one: AgentLine) -> Markup:
    """What an agent does, with what a supervisor should know of it."""
    parts = [f'<span class="badge {one.tone}"><span aria-hidden="true">{one.mark}</span> {escape(one.words)}</span>']
    if one.in_distress and one.state != "distress":
        parts.append(' <strong class="alarm">Distress</strong>')
    if one.is_out_of_reach:
        parts.append('<br><span class="mute">no telephone or browser</span>')
    if one.then:
        parts.append(f'<br><span class="mute">{escape(one.then)}</span>')
    return Markup("".join(parts))  # noqa: S704


def skills(one: AgentLine) -> Markup:
    """What she is good at, and how good."""
    told = (f'{escape(name.replace("_", " "))} <span class="mute">{number}</span>' for name, number in one.skills)
    return Markup(", ".join(told))  # noqa: S704


@pass_environment
def kept_row(environment: Environment, macro: str, one: Hashable, may_act: bool) -> Markup:
    """A row of `floor_parts.html`: a line of the floor holds all that its row shows."""
    return _drawn(environment, macro, one, may_act)


@lru_cache(maxsize=ROWS_KEPT_MAX)
def _drawn(environment: Environment, macro: str, one: Hashable, may_act: bool) -> Markup:
    return Markup(getattr(environment.get_template("floor_parts.html").module, macro)(one, may_act))  # noqa: S704


MARKS: Final = {"running": running, "figure": figure, "level_mark": level, "state_mark": state, "skills_of": skills} | {
    "kept_row": kept_row,
    "periods": PERIODS,
    "doings": DOINGS,
}
"""By the names that templates know them by."""
