"""Writes the page of all rules from the rule files; a test holds the committed page against them."""

import sys
from pathlib import Path

from tenderline.compliance import ruleset
from tenderline.compliance.hours import WEEKDAYS
from tenderline.compliance.rule import Rule, RuleKind

HEAD = """# Rule book

Written by `make docs` from `compliance/rules/*.toml`; how to read it stands in [rules.md](rules.md). It is no legal
advice: have it read by somebody who gives it. {count} rows, version `{version}`.
"""
FILES = {
    "own.toml": "Our own rules, everywhere",
    "us_federal.toml": "United States, federal",
    "us_states.toml": "United States, solicitation in the states",
    "us_debt.toml": "United States, debts in states and cities",
    "canada.toml": "Canada",
    "uk.toml": "United Kingdom",
    "eu.toml": "European Union",
    "australia.toml": "Australia",
    "presets/safe_everywhere.toml": "Preset `safe_everywhere`",
}


def page() -> str:
    """The page as Markdown."""
    rules = ruleset.shipped("safe_everywhere")
    parts = [HEAD.format(count=len(rules.rules), version=ruleset.shipped().version)]
    by_file: dict[str, list[Rule]] = {}
    for rule in rules.rules:
        by_file.setdefault(rule.place.rpartition(":")[0], []).append(rule)
    assert set(by_file) == set(FILES), "name every rule file in scripts/write-rule-book.py"
    for name, title in FILES.items():
        parts.append(f"\n## {title}\n\n| rule | says no | binds | rests on | sure |\n|---|---|---|---|---|\n")
        parts += [_row(rule) for rule in by_file[name]]
    return "".join(parts)


def _row(rule: Rule) -> str:
    row = rule.row
    binds = [", ".join(row.purposes) or "every purpose", ", ".join(row.channels) or "every channel"]
    if detail := _detail(rule):
        binds.append(detail)
    if row.effective_to:
        binds.append(f"until {row.effective_to}")
    source = f"{row.source}. {row.note}" if row.note else row.source
    since = f" (since {row.effective_from})" if row.effective_from.year > 2020 else ""
    cells = (f"`{row.id}`", row.why + since, "; ".join(binds), source, row.confidence)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _detail(rule: Rule) -> str:
    row = rule.row
    match rule.kind:
        case RuleKind.HOURS:
            week = []
            for day, windows in zip(WEEKDAYS, rule.schedule.days, strict=True):
                week.append((day, " and ".join(f"{_clock(opens)}-{_clock(closes)}" for opens, closes in windows)))
            days = ", ".join(f"{day} {hours or 'closed'}" for day, hours in _runs(week))
            holidays = {"as_usual": "", "closed": ", holidays closed"}.get(
                row.holidays, f", holidays as {row.holidays}"
            )
            zone = "" if row.zone == "recipient" else f" ({row.zone.replace('recipient', 'her zones')})"
            return f"{days}{holidays}{zone}"
        case RuleKind.CAP | RuleKind.QUIET_AFTER:
            cap = rule.cap
            window = f"{cap.days} local dates" if cap.by_local_date else f"{cap.window_s // 3600} h"
            return f"{cap.count} {cap.counts}(s) in {window}, of one {cap.key}"
        case RuleKind.CONSENT:
            return "needs " + " or ".join(row.classes)
        case RuleKind.DNC:
            return "lists: " + ", ".join(row.lists)
        case RuleKind.PRACTICE:
            return f"kept otherwise: {row.how}"
        case _:
            return ""


def _runs(week: list[tuple[str, str]]) -> list[tuple[str, str]]:
    runs: list[list[str]] = []
    for day, hours in week:
        if runs and runs[-1][2] == hours:
            runs[-1][1] = day
        else:
            runs.append([day, day, hours])
    return [(first if first == last else f"{first}-{last}", hours) for first, last, hours in runs]


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second % 3600 // 60:02}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
