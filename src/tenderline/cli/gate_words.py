"""How `tenderline gate` answers: for people in lines, for programs in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenderline.desk.rule_book import BookView, RuleView
    from tenderline.desk.why import AttemptWhy, FactLine, KeptAnswer, VerdictView, Why

_LOW = "  (low confidence)"


def rules_for_people(book: BookView) -> str:
    """The rule book, a few lines for each rule."""
    parts = [_rule(rule) for rule in book.rules]
    in_force = len(book.of_state("in_force"))
    parts.append(f"{in_force} in force on {book.on} of {book.total}; rules {book.version}, time zones {book.tzdata}")
    return "\n\n".join(parts)


def _rule(rule: RuleView) -> str:
    where = rule.jurisdiction or "everywhere"
    lines = [f"{rule.id}  {rule.kind_words}, {where}, {rule.force}{_LOW if rule.confidence == 'low' else ''}"]
    lines.append(rule.why)
    lines.append(f"binds: {', '.join(rule.channels) or 'every channel'}; {', '.join(rule.purposes) or 'every purpose'}")
    if rule.detail:
        lines.append(rule.detail)
    if rule.lifted_by:
        lines.append(f"lifted by {rule.lifted_by}")
    lines.append(f"rests on: {rule.source} ({rule.confidence} confidence)")
    if rule.note:
        lines.append(rule.note)
    if rule.changed:
        done = "turned off" if rule.changed.action == "off" else "changed"
        lines.append(f"{done} by {rule.changed.by} on {rule.changed.at:%Y-%m-%d}: {rule.changed.why}")
    return "\n  ".join(lines)


def rules_for_programs(book: BookView) -> dict[str, Any]:
    """The rule book as JSON."""
    return {
        "on": book.on.isoformat(),
        "ruleset": book.version,
        "tzdata": book.tzdata,
        "rules": [
            {
                "id": rule.id,
                "kind": rule.kind.value,
                "jurisdiction": rule.jurisdiction,
                "why": rule.why,
                "channels": rule.channels,
                "purposes": rule.purposes,
                "detail": rule.detail or None,
                "source": rule.source,
                "confidence": rule.confidence,
                "note": rule.note,
                "effectiveFrom": rule.since.isoformat(),
                "effectiveTo": rule.until and rule.until.isoformat(),
                "state": rule.state,
                "place": rule.place,
                "changed": rule.changed
                and {"by": rule.changed.by, "why": rule.changed.why, "at": rule.changed.at.isoformat()},
            }
            for rule in book.rules
        ],
    }


def why_for_people(why: Why) -> str:
    """An answer of the gate: first what it is, then what it rests on."""
    return "\n".join([_answer(why), *_question(why), *_basis(why)])


def _answer(why: Why | KeptAnswer) -> str:
    from tenderline.desk.words import instant

    match why.answer:
        case "allow":
            return "Allowed: every rule agrees."
        case "defer":
            return f"Put off until {instant(why.until) if why.until else 'later'}: {why.why}."
        case _:
            return f"Refused: {why.why}."


def _question(why: Why) -> list[str]:
    from tenderline.desk import rule_words
    from tenderline.desk.words import instant

    who = f"{why.name}, {why.address}" if why.is_known else f"{why.address}, whom nobody is known by"
    lines = ["", f"asked      {rule_words.channel(why.channel)} to {who}", f"purpose    {why.purpose}"]
    lines.append(f"at         {instant(why.at)}")
    lines += [f"local      {one}" for one in why.local] or ["local      no zone is known"]
    return lines


def _basis(why: Why) -> list[str]:
    lines: list[str] = []
    for title, wanted in (("Rules that said no", why.said_no), ("The others", _others(why))):
        if wanted:
            lines += ["", f"{title} ({len(wanted)})"]
            lines += [_verdict(one) for one in wanted]
    lines += ["", "Facts", *_facts(why.facts)]
    if why.only_now:
        lines += ["", "Known only as it stands now, not as of then"]
        lines += [f"  {one}" for one in why.only_now]
    return [*lines, "", f"rules {why.ruleset}, time zones {why.tzdata}"]


def _others(why: Why) -> tuple[VerdictView, ...]:
    return tuple(one for one in why.verdicts if one not in why.said_no)


def _verdict(one: VerdictView) -> str:
    from tenderline.desk.words import instant

    until = f", until {instant(one.until)}" if one.until else ""
    lines = [f"{one.id}  {one.said}{until}", one.why]
    if one.looked_at:
        lines.append(f"looked at: {one.looked_at}")
    lines.append(f"rests on: {one.source} ({one.confidence} confidence)")
    return indent("\n  ".join(lines), "  ")


def _facts(facts: Sequence[FactLine]) -> list[str]:
    width = max(len(one.label) for one in facts)
    return [f"  {one.label:<{width}}  {one.text}" for one in facts]


def why_for_programs(why: Why) -> dict[str, Any]:
    """An answer of the gate as JSON."""
    return {
        "answer": why.answer,
        "until": why.until and why.until.isoformat(),
        "why": why.why,
        "channel": why.channel,
        "purpose": why.purpose,
        "at": why.at.isoformat(),
        "isKnown": why.is_known,
        "localTimes": {zone: at.isoformat() for zone, at in why.local_times},
        "rules": [
            {
                "id": one.id,
                "says": one.says,
                "until": one.until and one.until.isoformat(),
                "why": one.why,
                "source": one.source,
                "confidence": one.confidence,
                "note": one.note,
                "lookedAt": one.looked_at or None,
            }
            for one in why.verdicts
        ],
        "facts": {one.label: one.text for one in why.facts},
        "knownOnlyAsOfNow": list(why.only_now),
        "ruleset": why.ruleset,
        "tzdata": why.tzdata,
    }


def attempt_for_people(found: AttemptWhy) -> str:
    """What was decided about a contact, then the same question asked again over what is kept."""
    from tenderline.desk import rule_words, words
    from tenderline.desk.words import instant

    attempt = found.attempt
    lines = [
        f"{rule_words.channel(attempt.channel)} to {found.person_name}, {found.address or 'an address that is gone'}"
    ]
    lines.append(f"state      {words.state_name(attempt.state)}, due {instant(attempt.due_at)}")
    if attempt.handed_over_at:
        lines.append(f"handed to  {attempt.provider or 'the provider'} on {instant(attempt.handed_over_at)}")
    if found.kept:
        lines += ["", f"The gate was asked about {instant(found.kept.at)}. {_answer(found.kept)}"]
        lines += [f"  {rule.id}: {rule.why} ({rule.source})" for rule in found.kept.rules]
        lines += ["", "Facts kept with the answer", *_facts(found.kept.facts)]
        lines.append(f"  rules {found.kept.ruleset}, time zones {found.kept.tzdata}")
    else:
        lines += ["", "The gate has not been asked yet; this is what it would say when the contact is due."]
    lines += ["", "What happened", *(f"  {instant(one.at)}  {one.sentence}" for one in found.timeline)]
    if found.again:
        lines += [
            "",
            "Asked again, over what is kept:" + (" ".join(_caveats(found)) and f" {' '.join(_caveats(found))}"),
        ]
        lines += ["", why_for_people(found.again)]
    return "\n".join(lines)


def _caveats(found: AttemptWhy) -> list[str]:
    from tenderline.desk.words import instant

    said = []
    if found.at_end:
        said.append(f"It may leave at any instant of its lease, so its end was asked for too: {instant(found.at_end)}.")
    if not found.same_rules:
        said.append("Other rows are shipped now than then.")
    if found.differs:
        said.append("The answer is another one now: something that the gate looked at is not kept.")
    return said


def attempt_for_programs(found: AttemptWhy) -> dict[str, Any]:
    """The same as JSON."""
    kept = found.kept
    return {
        "attempt": str(found.attempt.id),
        "channel": found.attempt.channel,
        "state": found.attempt.state,
        "dueAt": found.attempt.due_at.isoformat(),
        "handedOverAt": found.attempt.handed_over_at and found.attempt.handed_over_at.isoformat(),
        "kept": kept
        and {
            "answer": kept.answer,
            "at": kept.at.isoformat(),
            "until": kept.until and kept.until.isoformat(),
            "why": kept.why,
            "rules": [{"id": one.id, "why": one.why, "source": one.source} for one in kept.rules],
            "facts": {one.label: one.text for one in kept.facts},
            "ruleset": kept.ruleset,
            "tzdata": kept.tzdata,
        },
        "timeline": [{"at": one.at.isoformat(), "kind": one.kind, "sentence": one.sentence} for one in found.timeline],
        "askedAgain": found.again and why_for_programs(found.again),
        "differs": found.differs,
        "sameRules": found.same_rules,
    }
