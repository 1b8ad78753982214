"""The small pieces that a floor has hundreds of, by hand: a macro for each would cost most of a redraw.

Whatever comes from outside is escaped here, as a template would.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup, escape

from tenderline.desk.floor_agents import AgentLine

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
    return Markup(", ").join(
        Markup('{} <span class="mute">{}</span>').format(name.replace("_", " "), proficiency)
        for name, proficiency in one.skills
    )


MARKS: Final = {"running": running, "figure": figure, "level_mark": level, "state_mark": state, "skills_of": skills}
"""By the names that templates know them by."""
