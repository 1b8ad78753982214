"""Rules in words: what each asks, of whom, and when it is open, for people who read the rule book."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Final

from tenderline.compliance.hours import WEEKDAYS
from tenderline.compliance.rule import Rule, RuleKind
from tenderline.core.hours import DAY_S, Window, Windows
from tenderline.desk import words

CHANNELS: Final = {
    "voice_live": "live call",
    "voice_artificial": "recorded or artificial voice",
    "sms": "SMS",
    "email": "e-mail",
    "push": "push",
}
PURPOSES: Final = {
    "first_party_recovery": "recovery of our own payments",
    "charity_solicitation": "asking for gifts",
    "telemarketing": "selling",
    "third_party_collection": "collecting for others",
    "servicing": "servicing",
    "opt_out_confirmation": "confirming an opt-out",
}
KINDS: Final = {
    RuleKind.OPTED_OUT: "opt-out",
    RuleKind.CONFIRMATION: "confirmation of an opt-out",
    RuleKind.SETTLED: "paid",
    RuleKind.CLOSED: "closed",
    RuleKind.UNUSABLE_ADDRESS: "unusable address",
    RuleKind.DNC: "do-not-contact list",
    RuleKind.CONSENT: "agreement",
    RuleKind.BAN: "ban",
    RuleKind.PROCESSING: "payment on its way",
    RuleKind.HELD: "held",
    RuleKind.DISTRESS: "distress",
    RuleKind.PAUSED: "pause",
    RuleKind.DECLINED: "channel not wanted",
    RuleKind.UNREAD_NEWS: "unread news",
    RuleKind.HOURS: "hours",
    RuleKind.CAP: "how often",
    RuleKind.QUIET_AFTER: "quiet after",
    RuleKind.PRACTICE: "kept in another way",
}
DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
Week = tuple[Windows, ...]
ALWAYS: Final[Week] = (((0, DAY_S),),) * len(WEEKDAYS)


def channel(code: str) -> str:
    """`live call` for `voice_live`."""
    return CHANNELS.get(code, code)


def purpose(code: str) -> str:
    """`asking for gifts` for `charity_solicitation`."""
    return PURPOSES.get(code, words.reason(code))


def kind(code: RuleKind) -> str:
    """`how often` for `cap`."""
    return KINDS[code]


def binds(rule: Rule) -> str:
    """The contacts that a rule is about: `SMS, e-mail; asking for gifts`."""
    return f"{_all_or(rule.row.channels, CHANNELS, 'channel')}; {_all_or(rule.row.purposes, PURPOSES, 'purpose')}"


def _all_or(codes: Collection[str], known: Mapping[str, str], noun: str) -> str:
    """Those that are named; when fewer are not, all but those."""
    left_out = [name for code, name in known.items() if code not in codes] if codes else []
    if not left_out:
        return f"every {noun}"
    if len(left_out) < len(codes):
        return f"every {noun} but {' and '.join(left_out)}"
    return ", ".join(known.get(code, code) for code in codes)


def detail(rule: Rule) -> str:
    """What a rule asks, beyond its `why`: its hours, how often, which agreement; nothing when that says it all."""
    row = rule.row
    match rule.kind:
        case RuleKind.HOURS:
            return _hours(rule)
        case RuleKind.CAP:
            return f"at most {_counted(rule)}"
        case RuleKind.QUIET_AFTER:
            return f"none for {row.quiet_d} days after a {row.after}, by {_key(rule)}"
        case RuleKind.CONSENT:
            return f"needs {' or '.join(row.classes)}"
        case RuleKind.DNC:
            return f"lists: {', '.join(row.lists)}"
        case RuleKind.PRACTICE:
            return row.how or ""
        case _:
            return ""


def _key(rule: Rule) -> str:
    return str(rule.row.key)


def _counted(rule: Rule) -> str:
    cap = rule.cap
    assert cap is not None
    if cap.by_local_date:
        window = f"{cap.days} local dates" if cap.days > 1 else "one local date"
    else:
        window = f"{cap.window_s // 3600} hours" if cap.window_s < 2 * DAY_S else f"{cap.window_s // DAY_S} days"
    counted = _all_or([one for one in CHANNELS if one in cap.channels], CHANNELS, "channel")
    what = {"attempt": "contact", "connect": "answered call", "conversation": "conversation", "refusal": "refusal"}
    noun = what[cap.counts] + ("s" if cap.count > 1 else "")
    return f"{cap.count} {noun} in {window}, for each {cap.key}; counted: {counted}"


def _hours(rule: Rule) -> str:
    parts = [week_in_words(week_of(rule))]
    if rule.row.holidays != "as_usual":
        parts.append(
            "closed on public holidays"
            if rule.row.holidays == "closed"
            else f"on public holidays as {rule.row.holidays}"
        )
    if rule.fixed_zones:
        clocks = " and ".join([*rule.fixed_zones, *(["the person"] if rule.by_recipient else [])])
        parts.append(f"by the clock of {clocks}")
    return "; ".join(parts)


def lifted_by(rule: Rule) -> str:
    """What lifts a rule, in words; nothing when nothing does."""
    parts = [f"an agreement ({' or '.join(rule.row.lifted_by)})"] if rule.row.lifted_by else []
    if rule.kind is RuleKind.HOURS and rule.row.lifted_by_own_act_s is not None:
        parts.append(f"the person's own act of the last {rule.row.lifted_by_own_act_s // 60} minutes")
    return " or ".join(parts)


def in_force(rule: Rule, on: date) -> str:
    """`in force`, or from or until when it is."""
    row = rule.row
    if on < row.effective_from:
        return f"from {row.effective_from}"
    if row.effective_to is not None:
        return f"until {row.effective_to}" if on < row.effective_to else f"ended {row.effective_to}"
    return "in force"


def week_of(rule: Rule) -> Week:
    """The hours of a week without holidays, Monday first, by the clocks that the rule names."""
    assert rule.schedule is not None
    return rule.schedule.days


def shared(weeks: Sequence[Week]) -> Week:
    """The hours that all these weeks have in common."""
    found = ALWAYS
    for week in weeks:
        found = tuple(_meet(mine, theirs) for mine, theirs in zip(found, week, strict=True))
    return found


def _meet(one: Windows, other: Windows) -> Windows:
    met: list[Window] = [
        (opens, closes)
        for mine in one
        for theirs in other
        if (opens := max(mine[0], theirs[0])) < (closes := min(mine[1], theirs[1]))
    ]
    return tuple(met)


def clock(second: int) -> str:
    """`08:00`; the midnight that ends a day is `24:00`."""
    return f"{second // 3600:02}:{second % 3600 // 60:02}"


def day_in_words(windows: Windows) -> str:
    """`10:00 to 13:00 and 14:00 to 20:00`, or `closed`."""
    if windows == ALWAYS[0]:
        return "all day"
    return " and ".join(f"{clock(opens)} to {clock(closes)}" for opens, closes in windows) or "closed"


def week_in_words(week: Week) -> str:
    """`Mon-Fri 09:00 to 18:00, Sat 10:00 to 17:00, Sun closed`."""
    parts: list[str] = []
    for said, days in groupby(range(len(week)), key=lambda day: day_in_words(week[day])):
        first, *rest = days
        name = f"{DAY_NAMES[first]}-{DAY_NAMES[rest[-1]]}" if rest else DAY_NAMES[first]
        parts.append(f"{name} {said}")
    return ", ".join(parts)
