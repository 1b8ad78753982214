"""One row of the rule files: what it binds, what it asks, what it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, time
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from tenderline.core.hours import Schedule

CHANNELS = ("voice_live", "voice_artificial", "sms", "email", "push")


class RuleKind(StrEnum):
    """What a rule looks at."""

    OPTED_OUT = "opted_out"
    CONFIRMATION = "confirmation"
    SETTLED = "settled"
    CLOSED = "closed"
    UNUSABLE_ADDRESS = "unusable_address"
    DECLINED = "declined"
    DNC = "dnc"
    CONSENT = "consent"
    BAN = "ban"
    PROCESSING = "processing"
    HELD = "held"
    DISTRESS = "distress"
    PAUSED = "paused"
    UNREAD_NEWS = "unread_news"
    HOURS = "hours"
    CAP = "cap"
    QUIET_AFTER = "quiet_after"
    PRACTICE = "practice"


Counted = Literal["attempt", "connect", "conversation", "refusal"]
Key = Literal["person", "number", "debt", "subject"]
_Positive = Annotated[int, msgspec.Meta(gt=0)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hours of some days: `days` is a day, a range (`mon-fri`) or several (`mon,wed`). Closing at 00:00 is midnight
    at the end of the day."""

    days: str
    opens: time
    closes: time


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row as it is written. `effective_to` is exclusive; what is left out of `channels` or `purposes` binds all."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]+(-[A-Z0-9]+)*$")]
    kind: RuleKind
    why: _Text
    source: _Text
    confidence: Literal["high", "medium", "low"]
    effective_from: date
    effective_to: date | None = None
    jurisdiction: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{2,3}){0,2}$")] | None = None
    purposes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    note: str | None = None
    lifted_by: tuple[str, ...] = ()
    lifted_by_own_act_s: _Positive | None = None
    again_after_s: _Positive | None = None
    hours: tuple[Span, ...] = ()
    holidays: str = "as_usual"
    zone: str = "recipient"
    count: _Positive | None = None
    window_h: _Positive | None = None
    window_d: _Positive | None = None
    window: Literal["rolling", "local_date"] = "rolling"
    key: Key | None = None
    counts: Counted | None = None
    counted_channels: tuple[str, ...] = ()
    counted_purposes: tuple[str, ...] = ()
    after: Literal["conversation", "refusal"] | None = None
    quiet_d: _Positive | None = None
    classes: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    except_channels_other_than_its_own: bool = False
    how: str | None = None


class Cap(msgspec.Struct, frozen=True, gc=False):
    """At most `count` contacts that match, the new one included, in a window of hours or of local dates."""

    count: int
    key: Key
    counts: Counted
    channels: frozenset[str]
    purposes: frozenset[str]
    window_s: int
    """Of a rolling window; of one by local dates, its days times 86,400."""
    by_local_date: bool = False

    @property
    def days(self) -> int:
        """The local dates that a window of dates covers, today's included."""
        return self.window_s // 86_400


class Rule(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A row that was checked, with its hours and caps made ready. `place` says where it is written.

    Each is itself only: rules are keys of what is remembered about them.
    """

    row: Row
    place: str
    schedule: Schedule | None = None
    fixed_zones: tuple[str, ...] = ()
    by_recipient: bool = True
    """Its hours are by the wall clock of the person (and by those of `fixed_zones`)."""
    cap: Cap | None = None

    @property
    def id(self) -> str:
        """Its name: unique, stable, kept with every decision."""
        return self.row.id

    @property
    def kind(self) -> RuleKind:
        """What it looks at."""
        return self.row.kind

    @property
    def why(self) -> str:
        """What is said when it speaks."""
        return self.row.why

    @property
    def source(self) -> str:
        """What it rests on."""
        return self.row.source

    def in_force(self, first: date, last: date) -> bool:
        """Whether it is in force on any of these dates: about midnight the person's date is not certain."""
        ends = self.row.effective_to
        return self.row.effective_from <= last and (ends is None or first < ends)

    def binds(self, channel: str, purpose: str, regions: Iterable[str]) -> bool:
        """Whether it speaks about such a contact to somebody who may be in any of these regions."""
        row = self.row
        return (
            (not row.channels or channel in row.channels)
            and (not row.purposes or purpose in row.purposes)
            and (row.jurisdiction is None or row.jurisdiction in regions)
        )
