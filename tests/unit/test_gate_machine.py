"""The gate against a model that counts by hand: a person who moves, agrees, refuses and is contacted, for weeks on end.

`TENDERLINE_GATE_EXAMPLES` sets how many lives are lived (50 steps each): 200 by default, 20,000 in `make test-nightly`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tenderline.compliance import ruleset
from tenderline.compliance.decide import decide, family_of
from tenderline.compliance.facts import (
    Allow,
    Consent,
    ContactPointFacts,
    Defer,
    Deny,
    History,
    PastContact,
    PersonFacts,
    Purpose,
)
from tenderline.compliance.hours import WEEKDAYS, is_holiday
from tenderline.compliance.regions import jurisdictions
from tenderline.compliance.rule import CHANNELS, RuleKind

RULES = ruleset.shipped()
EXAMPLES = int(os.environ.get("TENDERLINE_GATE_EXAMPLES", "200"))
PLACES = [
    (("America/New_York",), ("US-NY", "US-NY-NYC")),
    (("America/New_York", "America/Chicago"), ("US-FL",)),
    (("America/Chicago", "America/Denver"), ("US-TX",)),
    (("America/New_York",), ("US-MA",)),
    (("America/Adak", "America/Anchorage"), ("US-AK",)),
    (("Pacific/Honolulu",), ("US-HI",)),
    (("America/St_Johns",), ("CA-NL",)),
    (("America/Toronto",), ("CA-ON",)),
    (("Europe/London",), ("GB",)),
    (("Europe/Paris",), ("FR",)),
    (("Australia/Lord_Howe",), ("AU",)),
    (("Asia/Kathmandu",), ("NP",)),
    (("America/Phoenix",), ("US-AZ",)),
    ((), ()),
]
ASKING = frozenset(Purpose) - {Purpose.SERVICING, Purpose.OPT_OUT_CONFIRMATION}
NUMBERS = [UUID(int=1), UUID(int=2)]
DEBTS = [UUID(int=11), UUID(int=12)]
CLASSES = ["PEC", "PEWC", "opt_in_electronic", "soft_opt_in"]


class Life(RuleBasedStateMachine):
    """One person, and everything that anybody does to her."""

    @initialize(
        start=st.integers(1_767_225_600, 1_827_532_800).map(lambda unix_s: datetime.fromtimestamp(unix_s, UTC)),
        place=st.sampled_from(PLACES),
    )
    def begin(self, start, place):
        self.now = start
        self.zones, self.regions = place
        self.refusals: dict[str, datetime] = {}
        self.consents: dict[tuple[str, str], Consent] = {}
        self.contacts: list[PastContact] = []
        self.distress_until = None
        self.paused_until = None
        self.declined: set[str] = set()
        self.own_act_at = None
        self.settled: set[UUID] = set()

    def teardown(self):
        return

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule(step=st.sampled_from([1, 59, 300, 899, 3600, 7 * 3600, 12 * 3600, 86_399, 86_400, 3 * 86_400]))
    def time_passes(self, step):
        self.now += timedelta(seconds=step)

    @rule(place=st.sampled_from(PLACES))
    def she_moves(self, place):
        self.zones, self.regions = place

    @rule(channel=st.sampled_from(["sms", "email", "voice", "push"]))
    def she_says_stop(self, channel):
        self.refusals.setdefault(channel, self.now)
        self.own_act_at = self.now

    @rule(channel=st.sampled_from(["sms", "email", "voice", "push"]))
    def she_says_start(self, channel):
        self.refusals.pop(channel, None)

    @rule(consent_class=st.sampled_from(CLASSES), channel=st.sampled_from(CHANNELS))
    def she_agrees(self, consent_class, channel):
        self.consents[consent_class, channel] = Consent(consent_class, frozenset({channel}))

    @rule()
    def she_takes_agreements_back(self):
        self.consents.clear()

    @rule(length=st.sampled_from([3600, 86_400, 5 * 86_400, None]))
    def she_is_in_distress(self, length):
        no_end = datetime(9999, 12, 31, tzinfo=UTC)
        self.distress_until = no_end if length is None else self.now + timedelta(seconds=length)

    @rule()
    def her_distress_is_over(self):
        self.distress_until = None

    @rule(length_days=st.sampled_from([7, 14, 30]))
    def she_asks_for_a_pause(self, length_days):
        self.paused_until = self.now + timedelta(days=length_days)

    @rule()
    def she_ends_her_pause(self):
        self.paused_until = None

    @rule(channel=st.sampled_from(["sms", "email", "voice", "push"]))
    def she_turns_a_channel_off_or_on(self, channel):
        self.declined ^= {channel}

    @rule(debt=st.sampled_from(DEBTS))
    def she_pays(self, debt):
        self.settled.add(debt)
        self.own_act_at = self.now

    @rule()
    def she_speaks_with_an_agent(self):
        if self.contacts:
            last = self.contacts.pop()
            changed = PastContact(
                at=last.at, channel=last.channel, purpose=last.purpose, number=last.number, debt=last.debt,
                subject=last.subject, connected=True, conversation=True,
            )  # fmt: skip
            self.contacts.append(changed)

    @rule(
        purpose=st.sampled_from(list(Purpose)),
        channel=st.sampled_from(CHANNELS),
        number=st.sampled_from(NUMBERS),
        debt=st.sampled_from(DEBTS),
    )
    def we_want_to_contact_her(self, purpose, channel, number, debt):
        wanted = (purpose, channel, number, debt)
        decision = self.ask(self.now, *wanted)
        match decision:
            case Allow():
                self.must_be_lawful(*wanted)
                self.contacts.append(
                    PastContact(
                        at=self.now, channel=channel, purpose=purpose, number=number, debt=debt, subject=str(debt)
                    )
                )
            case Defer(until=until):
                assert until > self.now
                before = self.now + (until - self.now) / 2
                if self.is_all_lasting(purpose):
                    assert isinstance(self.ask(until, *wanted), Allow), "it may leave at the instant it is put off to"
                    assert not isinstance(self.ask(before, *wanted), Allow), "and not before"
            case Deny():
                pass

    def is_all_lasting(self, purpose):
        """Whether nothing in the question runs out on the way: what answers an act does so for minutes only."""
        return purpose in ASKING or self.own_act_at is None

    # --- the question -------------------------------------------------------------------------------------------------

    def ask(self, at, purpose, channel, number, debt):
        return decide(
            at,
            PersonFacts(
                opted_out_at=min(self.refusals.values(), default=None),
                opted_out_channels=frozenset(self.refusals),
                distress_until=self.distress_until,
                paused_until=self.paused_until,
                declined_channels=frozenset(self.declined),
                zones=self.zones,
                regions=self.regions,
            ),
            ContactPointFacts(id=number),
            purpose,
            channel,
            History(
                settled=debt in self.settled,
                contacts=tuple(self.contacts),
                debt=debt,
                subject=str(debt),
                own_act_at=self.own_act_at,
            ),
            tuple(self.consents.values()),
            RULES,
        )

    # --- the model: counted by hand -----------------------------------------------------------------------------------

    def must_be_lawful(self, purpose, channel, number, debt):
        classes = {one.consent_class for one in self.consents.values() if channel in one.channels}
        where = jurisdictions(self.regions)
        if purpose in ASKING:
            assert not self.refusals, "never after an opt-out"
            assert debt not in self.settled, "never what is paid"
        elif purpose is Purpose.SERVICING:
            assert family_of(channel) not in self.refusals
        else:
            assert family_of(channel) in self.refusals
            assert self.own_act_at is not None
            assert self.now - self.own_act_at <= timedelta(minutes=5)
        assert family_of(channel) not in self.declined, "never by a channel that she does not want"
        if channel != "voice_live":
            paused = self.paused_until is not None and self.now < self.paused_until
            assert not paused or purpose is Purpose.OPT_OUT_CONFIRMATION
        if channel != "voice_live" or purpose in ASKING:
            assert self.distress_until is None or self.distress_until <= self.now
        for one in RULES.rules:
            row = one.row
            binds = (
                (not row.purposes or purpose in row.purposes)
                and (not row.channels or channel in row.channels)
                and (row.jurisdiction is None or row.jurisdiction in where)
                and row.effective_from <= self.now.date()
                and (row.effective_to is None or self.now.date() < row.effective_to)
                and not classes & set(row.lifted_by)
            )
            if not binds:
                continue
            if one.kind is RuleKind.HOURS:
                lifted = row.lifted_by_own_act_s and self.own_act_at is not None
                if not lifted or self.now - self.own_act_at > timedelta(seconds=row.lifted_by_own_act_s):
                    self.must_be_inside(row)
            elif one.kind is RuleKind.CONSENT:
                assert classes & set(row.classes), one.id
            elif one.kind in (RuleKind.CAP, RuleKind.QUIET_AFTER):
                self.must_have_room(one, number, debt)
            else:
                assert one.kind is not RuleKind.BAN

    def must_be_inside(self, row):
        zones = [zone for part in row.zone.split("+") for zone in (self.zones if part == "recipient" else [part])]
        assert zones or "recipient" not in row.zone, "nobody knows what hour it is there"
        for zone in zones:
            local = self.now.astimezone(ZoneInfo(zone))
            day = WEEKDAYS[local.weekday()]
            if row.holidays != "as_usual" and is_holiday(row.jurisdiction, local.date()):
                assert row.holidays != "closed", (row.id, local)
                day = row.holidays
            spans = [span for span in row.hours if day in _days(span.days)]
            assert any(
                span.opens <= local.time() and (local.time() < span.closes or span.closes.isoformat() == "00:00:00")
                for span in spans
            ), (row.id, local)

    def must_have_room(self, one, number, debt):
        row = one.row
        counts = row.counts or row.after
        channels = set(row.counted_channels or row.channels or CHANNELS)
        days = row.quiet_d or row.window_d
        window = timedelta(days=days) if days else timedelta(hours=row.window_h)
        same = 0
        for contact in self.contacts:
            if contact.channel not in channels or (
                row.counted_purposes and contact.purpose not in row.counted_purposes
            ):
                continue
            if counts != "attempt" and not {"connect": contact.connected, "conversation": contact.conversation}.get(
                counts
            ):
                continue
            if row.key == "number" and contact.number != number:
                continue
            if row.key in ("debt", "subject") and contact.debt != debt:
                continue
            if row.window == "local_date":
                inside = any(
                    (self.now.astimezone(ZoneInfo(zone)).date() - contact.at.astimezone(ZoneInfo(zone)).date()).days
                    < days
                    for zone in self.zones or ("UTC",)
                )
            else:
                inside = self.now - contact.at < window
            same += inside
        assert same < (row.count or 1), one.id

    @invariant()
    def an_answer_is_the_same_when_it_is_asked_again(self):
        if hasattr(self, "now"):
            wanted = (Purpose.FIRST_PARTY_RECOVERY, "sms", NUMBERS[0], DEBTS[0])
            assert self.ask(self.now, *wanted) == self.ask(self.now, *wanted)


def _days(text):
    found = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        found |= set(WEEKDAYS[WEEKDAYS.index(first) : WEEKDAYS.index(last or first) + 1])
    return found


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
