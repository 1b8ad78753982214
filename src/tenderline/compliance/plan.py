"""Planning several contacts to one person: each is asked about where it would stand among the others.

The product plans by it (`store/plans.py`) and a preflight plays by it (`recovery/preflight`), so that what was played
is what happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tenderline.compliance.decide import decide
from tenderline.compliance.facts import (
    Consent,
    ContactPointFacts,
    Decision,
    Defer,
    Deny,
    History,
    PastContact,
    PersonFacts,
    Purpose,
)
from tenderline.compliance.ruleset import Ruleset

TOO_LATE = Deny(("OWN-TOO-LATE",), "the rules let it pass only when it is too late for it")


class Choice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One way in which a step could reach her, wanted at `due_at` and of no use from `not_after` on."""

    channel: str
    purpose: Purpose
    point: ContactPointFacts
    history: History
    consents: tuple[Consent, ...]
    due_at: datetime
    not_after: datetime


class Chosen(msgspec.Struct, frozen=True, gc=False):
    """What became of a step: the place of its choice, the gate's answer, and when it is due if it may leave."""

    place: int
    answer: Decision
    due_at: datetime


def plan(steps: Sequence[Sequence[Choice]], person: PersonFacts, rules: Ruleset) -> list[Chosen | None]:
    """For each step the first choice that the gate does not refuse, else its first; None for a step without any.

    What is chosen counts as a contact for the steps after it. A choice that opens only when it is too late is refused.
    """
    planned: tuple[PastContact, ...] = ()
    found: list[Chosen | None] = []
    for step in steps:
        chosen: Chosen | None = None
        for place, choice in enumerate(step):
            answer = _ask(choice, person, planned, rules)
            if not isinstance(answer, Deny):
                due_at = answer.until if isinstance(answer, Defer) else choice.due_at
                chosen = Chosen(place, answer, due_at)
                planned = (*planned, _as_contact(choice, due_at))
                break
            chosen = chosen or Chosen(place, answer, choice.due_at)
        found.append(chosen)
    return found


def _ask(choice: Choice, person: PersonFacts, planned: tuple[PastContact, ...], rules: Ruleset) -> Decision:
    history = choice.history
    if planned:
        history = msgspec.structs.replace(history, contacts=history.contacts + planned)
    answer = decide(
        choice.due_at, person, choice.point, choice.purpose, choice.channel, history, choice.consents, rules
    )
    return TOO_LATE if isinstance(answer, Defer) and answer.until >= choice.not_after else answer


def _as_contact(choice: Choice, at: datetime) -> PastContact:
    return PastContact(
        at=at,
        channel=choice.channel,
        purpose=choice.purpose,
        number=choice.point.id,
        debt=choice.history.debt,
        subject=choice.history.subject,
    )
