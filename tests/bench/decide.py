"""The one decision before every contact, alone: microseconds, by what it answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tenderline.compliance import ruleset
from tenderline.compliance.decide import decide
from tenderline.compliance.facts import Allow, ContactPointFacts, Defer, Deny, History, PersonFacts, Purpose
from tests.bench.ground import BenchmarkError, Ground, Say
from tests.bench.report import Result, middle
from tests.bench.sizes import Sizes
from tests.bench.timing import in_turns, ratios

RULES = ruleset.shipped()
NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
ONE_ZONE = ("America/New_York",)
ALLOWED, SEVERAL, NIGHTLY, DENIED = "allowed", "allowed, six zones", "deferred for the night", "denied, opted out"
SIX_ZONES = (
    "America/Chicago", "America/Denver", "America/Halifax", "America/New_York", "America/Toronto", "America/Winnipeg"
)  # fmt: skip
HOW = (
    "`compliance.decide.decide` with the shipped rules. Every call is about another instant, as in the gate, so nothing"
    " that was remembered of the call before helps."
)


def _ask(now: datetime, person: PersonFacts) -> Callable[[int], Allow | Defer | Deny]:
    point, history = ContactPointFacts(), History()

    def call(number: int) -> Allow | Defer | Deny:
        instant = now + timedelta(microseconds=number)
        return decide(instant, person, point, Purpose.FIRST_PARTY_RECOVERY, "sms", history, (), RULES)

    return call


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """All answers in turns."""
    del ground
    say("decide")
    cases = {
        ALLOWED: (_ask(NOON, PersonFacts(zones=ONE_ZONE)), Allow),
        SEVERAL: (_ask(NOON, PersonFacts(zones=SIX_ZONES)), Allow),
        NIGHTLY: (_ask(NIGHT, PersonFacts(zones=ONE_ZONE)), Defer),
        DENIED: (_ask(NOON, PersonFacts(zones=ONE_ZONE, opted_out_at=NIGHT)), Deny),
    }
    for name, (call, kind) in cases.items():
        if not isinstance(call(0), kind):
            raise BenchmarkError(f"The decision that should be {name} is {call(0)}.")
    taken = in_turns({name: call for name, (call, _) in cases.items()}, sizes.calls, sizes.repeats)
    figures = [
        middle(f"{NIGHTLY} to {ALLOWED}", ratios(taken[NIGHTLY], taken[ALLOWED]), "ratio"),
        *(middle(name, runs, unit="µs") for name, runs in taken.items()),
    ]
    return Result(name="decide", title="One decision", how=HOW, figures=figures)
