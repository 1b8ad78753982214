"""All rules together: which of them bind a contact, sorted once into what each can answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable

from tenderline.compliance import rule_file
from tenderline.compliance.hours import Clocks
from tenderline.compliance.regions import jurisdictions
from tenderline.compliance.rule import Rule, RuleKind
from tenderline.compliance.rule_file import InvalidRuleError
from tenderline.core.errors import NotFoundError

RULES_PACKAGE = "tenderline.compliance.rules"
BINDINGS_MAX = 4_096
ZONES_MAX = 512

DENYING = frozenset(
    {RuleKind.OPTED_OUT, RuleKind.CONFIRMATION, RuleKind.SETTLED, RuleKind.CLOSED, RuleKind.UNUSABLE_ADDRESS}
    | {RuleKind.DECLINED, RuleKind.DNC, RuleKind.CONSENT, RuleKind.BAN}
)
"""The kinds that refuse a contact for good."""
WAITING = frozenset({RuleKind.PROCESSING, RuleKind.HELD, RuleKind.DISTRESS, RuleKind.PAUSED, RuleKind.UNREAD_NEWS})
"""The kinds that put it off until something has happened."""

# A date begins when it begins somewhere on earth, and is over when it is over everywhere: about its edges the rules of
# both dates bind, which is the stricter reading.
_EAST = timedelta(hours=14)
_WEST = timedelta(hours=12)


@dataclass(frozen=True, eq=False)
class Binding:
    """The rules that bind one kind of contact on a date, for somebody in certain regions, with certain consents."""

    rules: tuple[Rule, ...]
    ids: tuple[str, ...]
    denying: tuple[Rule, ...]
    waiting: tuple[Rule, ...]
    caps: tuple[Rule, ...]
    hours: tuple[Rule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "clocks", lru_cache(maxsize=ZONES_MAX)(self._clocks))

    def _clocks(self, zones: tuple[str, ...]) -> Clocks:
        return Clocks(clock for rule in self.hours for clock in clocks_of(rule, zones).items)

    def clocks(self, zones: tuple[str, ...]) -> Clocks:
        """Every clock that must be within its hours, for somebody in these zones."""
        raise AssertionError("replaced by its remembering form when a binding is made")


@lru_cache(maxsize=BINDINGS_MAX)
def clocks_of(rule: Rule, zones: tuple[str, ...]) -> Clocks:
    """The clocks of one rule of hours, for somebody in these zones."""
    assert rule.schedule is not None
    return Clocks([(zones_of(rule, zones), rule.schedule)])


def zones_of(rule: Rule, zones: tuple[str, ...]) -> tuple[str, ...]:
    """The zones by whose wall clocks a rule of hours is read, for somebody in `zones`."""
    return (zones if rule.by_recipient else ()) + rule.fixed_zones


class Ruleset:
    """Rules, with a version that names exactly these rows."""

    def __init__(self, rules: Iterable[Rule], version: str) -> None:
        self.rules = tuple(rules)
        self.version = version
        self._by_contact = lru_cache(maxsize=BINDINGS_MAX)(self._select)
        longest_s = max((rule.cap.window_s for rule in self.rules if rule.cap is not None), default=0)
        self.look_back = timedelta(seconds=longest_s, days=2)
        """How far back contacts must be known: the longest window of any cap, and two days for its local dates."""
        self._by_id: dict[str, list[Rule]] = {}
        for rule in self.rules:
            self._by_id.setdefault(rule.id, []).append(rule)

    def binding(
        self,
        now: datetime,
        channel: str,
        purpose: str,
        regions: tuple[str, ...] = (),
        classes: frozenset[str] = frozenset(),
        own_act_age_s: int | None = None,
    ) -> Binding:
        """The rules in force for such a contact. `classes` are the consents that stand for it."""
        return self._by_contact(
            (now - _WEST).date(), (now + _EAST).date(), channel, purpose, regions, classes, own_act_age_s
        )

    def _select(
        self,
        first: date,
        last: date,
        channel: str,
        purpose: str,
        regions: tuple[str, ...],
        classes: frozenset[str],
        own_act_age_s: int | None,
    ) -> Binding:
        where = jurisdictions(regions)
        rules = [
            rule
            for rule in self.rules
            if rule.kind is not RuleKind.PRACTICE
            and rule.in_force(first, last)
            and rule.binds(channel, purpose, where)
            and not lifted(rule, classes, own_act_age_s)
        ]
        return Binding(
            rules=tuple(rules),
            ids=tuple(rule.id for rule in rules),
            denying=tuple(rule for rule in rules if rule.kind in DENYING),
            waiting=tuple(rule for rule in rules if rule.kind in WAITING),
            caps=tuple(rule for rule in rules if rule.cap is not None),
            hours=tuple(rule for rule in rules if rule.schedule is not None),
        )

    def find(self, rule_id: str, on: date | None = None) -> Rule | None:
        """The row of an id: the one in force on that date, else the newest."""
        rows = self._by_id.get(rule_id, [])
        in_force = [rule for rule in rows if on is not None and rule.in_force(on, on)]
        return max(in_force or rows, key=lambda rule: rule.row.effective_from, default=None)

    def changed(self, changes: Iterable[Rule], without: Iterable[str], version: str) -> Ruleset:
        """These rules with others of the same id in their place, others added, and some left out."""
        changed = list(changes)
        gone = {rule.id for rule in changed} | set(without)
        return Ruleset([rule for rule in self.rules if rule.id not in gone] + changed, version)


def lifted(rule: Rule, classes: frozenset[str], own_act_age_s: int | None = None) -> str:
    """What lifts a rule, in words; nothing when it stands."""
    row = rule.row
    if found := sorted(classes.intersection(row.lifted_by)):
        return f"lifted by consent ({', '.join(found)})"
    if (
        rule.kind is RuleKind.HOURS
        and row.lifted_by_own_act_s is not None
        and own_act_age_s is not None
        and 0 <= own_act_age_s <= row.lifted_by_own_act_s
    ):
        return "it answers what she did just now"
    return ""


def parse(texts: dict[str, str]) -> Ruleset:
    """The rules of the named TOML texts; raises `InvalidRuleError` naming the file, the line and the reason."""
    for found in check(texts):
        raise found
    rules = [rule for name, text in sorted(texts.items()) for rule in rule_file.read(name, text)]
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(texts.items())).encode())
    return Ruleset(rules, digest.hexdigest()[:10])  # short enough that its digits are never taken for a number of hers


def check(texts: dict[str, str]) -> Iterator[InvalidRuleError]:
    """Everything that is wrong with the named texts."""
    seen: dict[str, list[Rule]] = {}
    for name, text in sorted(texts.items()):
        for found in rule_file.check(name, text):
            if isinstance(found, InvalidRuleError):
                yield found
                continue
            for other in seen.setdefault(found.id, []):
                if rule_file.together(found, other):
                    yield InvalidRuleError(
                        f"{found.place}: rule {found.id!r} is in force together with the one of {other.place}; "
                        "end one before the other begins"
                    )
            seen[found.id].append(found)


def _texts(folder: Traversable) -> dict[str, str]:
    return {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")}


@cache
def shipped(*presets: str) -> Ruleset:
    """The rules that come with the product, and those of the named presets.

    Raises `NotFoundError` for a preset that there is not.
    """
    folder = resources.files(RULES_PACKAGE)
    texts = _texts(folder)
    known = _texts(folder / "presets")
    for preset in presets:
        if f"{preset}.toml" not in known:
            names = ", ".join(sorted(name.removesuffix(".toml") for name in known))
            raise NotFoundError(f"There is no preset of rules {preset!r}; there is {names}.")
        texts[f"presets/{preset}.toml"] = known[f"{preset}.toml"]
    return parse(texts)
