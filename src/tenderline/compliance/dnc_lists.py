"""The do-not-contact lists: what each is, how old a copy of it may be, and what may not be done to it.

Rules ask for lists by name (`lists` in a rule of kind `dnc`), so a name that no rule knows would silence nobody: it is
refused. An operator's own rule may name a list of its own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tenderline.compliance.rule import CHANNELS
from tenderline.core.errors import InvalidInputError

INTERNAL: Final = "internal"
EXPIRES_DAYS_MAX: Final = 3_650
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VOICE: Final = ("voice_live", "voice_artificial")


class UnknownListError(InvalidInputError):
    """No rule asks for a list of this name; `tenderline dnc list` shows the names."""

    code = "unknown_list"


class ListKeptError(InvalidInputError):
    """Our own list is kept for ever: it cannot be replaced, and its entries do not end."""

    code = "list_kept"


class InvalidListSettingError(InvalidInputError):
    """The channels or the days of a list are not such; see `tenderline dnc import --help`."""

    code = "invalid_list_setting"


@dataclass(frozen=True, slots=True)
class ListKind:
    """One list. A copy older than `age_max_days` does not count as one by law any more."""

    name: str
    what: str
    age_max_days: int | None = None
    source: str = ""


KINDS: Final[dict[str, ListKind]] = {
    kind.name: kind
    for kind in (
        ListKind(
            INTERNAL, "Our own: people who asked us", None, "47 CFR 64.1200(d)(6); kept for ever, which is stricter"
        ),
        ListKind("national", "A country's do-not-call registry", 31, "47 CFR 64.1200(c)(2)(i)(D)"),
        ListKind("tps", "Telephone Preference Service", 28, "PECR 2003, regulation 21(3)"),
        ListKind("wireless", "Numbers ported to mobile", 15, "47 CFR 64.1200(a)(1)(iv)"),
        ListKind("reassigned", "Numbers that have another owner since", None, "47 CFR 64.1200(m)"),
    )
}


def require_known(name: str, asked_by_rules: Iterable[str]) -> ListKind:
    """The list of a name; raises `UnknownListError` with the nearest one."""
    known = {*KINDS, *asked_by_rules}
    if name in known and _NAME.fullmatch(name):
        return KINDS.get(name) or ListKind(name, "A list of this installation's own")
    near = difflib.get_close_matches(name[:64], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(sorted(known))}"
    raise UnknownListError(f"There is no list {name[:64]!r} that a rule could ask for; {hint}?")


def channels_of(names: Iterable[str]) -> tuple[str, ...]:
    """Channels as an entry keeps them, sorted; `voice` is both ways of calling. None named: every channel."""
    found: set[str] = set()
    for name in names:
        wanted = _VOICE if name == "voice" else (name,)
        if unknown := [one for one in wanted if one not in CHANNELS]:
            known = ", ".join(("voice", *CHANNELS))
            raise InvalidListSettingError(f"There is no channel {unknown[0][:64]!r}; known are {known}.")
        found.update(wanted)
    return tuple(sorted(found))


def require_allowed(kind: ListKind, *, replace: bool, expires_days: int | None) -> None:
    """Raises `ListKeptError` or `InvalidListSettingError` for what must not be done to this list."""
    if expires_days is not None and not 1 <= expires_days <= EXPIRES_DAYS_MAX:
        raise InvalidListSettingError(f"An entry may end after 1 to {EXPIRES_DAYS_MAX} days, not after {expires_days}.")
    if kind.name == INTERNAL and (replace or expires_days is not None):
        raise ListKeptError()


def is_too_old(kind: ListKind, refreshed_at: datetime | None, now: datetime) -> bool:
    """Whether the law would not take this copy for one any more."""
    if kind.age_max_days is None:
        return False
    return refreshed_at is None or now - refreshed_at > timedelta(days=kind.age_max_days)
