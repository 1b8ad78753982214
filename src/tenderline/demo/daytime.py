"""Where somebody may be contacted now: asked of the same rules as every contact is, so that no Sunday surprises."""

from __future__ import annotations

from datetime import datetime

from tenderline.compliance import ruleset
from tenderline.compliance.decide import decide
from tenderline.compliance.facts import Consent, ContactPointFacts, Defer, History, PersonFacts, Purpose


def is_hour_of(person: PersonFacts, instant: datetime) -> bool:
    """Neither our own hours nor a law's, of a Sunday for one, put a message off to somebody who agreed to it."""
    answer = decide(
        instant,
        person,
        ContactPointFacts(),
        Purpose.FIRST_PARTY_RECOVERY,
        "sms",
        History(),
        (Consent("PEC"),),
        ruleset.shipped(),
    )
    return not isinstance(answer, Defer)
