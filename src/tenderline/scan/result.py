"""What a scan says: findings without their numbers, what was not searched and why, what was let pass and how often."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from tenderline.scan.patterns import Hit
from tenderline.scan.search import Search

FORMAT: Final = "tenderline.scan/1"
FINDINGS_KEPT_MAX: Final = 1_000
FINDINGS_OF_ONE_PLACE_MAX: Final = 20
NOT_SEARCHED_KEPT_MAX: Final = 500
TEXT_MAX: Final = 400


class Place(StrEnum):
    """The four kinds of places."""

    DATABASE = "database"
    FILES = "files"
    RECORDINGS = "recordings"
    MEMORY = "memory"


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Card data in one place: where, how it is written there, and as much of it as may be shown."""

    place: Place
    where: str
    offset: int | None = None
    """Of the bytes in a value, a file or a process; of a recording in milliseconds."""
    written: str
    masked: str = ""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was not searched."""

    place: Place
    what: str
    why: str


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """Digits that pass for a card number and are none."""

    where: str
    why: str
    count: int


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """How much was searched of one kind of places."""

    place: Place
    what: str
    count: int
    bytes: int
    lasted_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole report; `signature` covers everything else in one canonical form."""

    format: str = FORMAT
    id: str
    started_at: datetime
    ended_at: datetime
    started_by: str
    host: str
    version: str
    places: list[Place]
    looked_for: list[str]
    canaries: int
    searched: list[Searched]
    findings_total: int
    findings: list[Finding]
    not_searched_total: int
    not_searched: list[Gap]
    left_out: list[Gap]
    passed: list[Passed]
    public_key: str
    signature: str = ""

    @property
    def verdict(self) -> str:
        """found, incomplete or clean."""
        return "found" if self.findings_total else "incomplete" if self.not_searched_total else "clean"


class Notes:
    """Collects while the scan goes on, within bounds; what exceeds them is still counted."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.findings: list[Finding] = []
        self.findings_total = 0
        self.not_searched: list[Gap] = []
        self.not_searched_total = 0
        self.left_out: list[Gap] = []
        self.searched: list[Searched] = []
        self._of_place: Counter[str] = Counter()
        self._passed: Counter[tuple[str, str]] = Counter()

    def hit(self, place: Place, group: str, where: str, hit: Hit, offset: int | None) -> None:
        """What the search came upon. `group` is what is named when there is too much of it: a column, a file."""
        if hit.excuse is not None:
            self.passed(group, hit.excuse)
        else:
            masked = hit.masked if hit.digits else ""
            self.found(
                group, Finding(place=place, where=self._shown(where), offset=offset, written=hit.written, masked=masked)
            )

    def found(self, group: str, finding: Finding) -> None:
        """One finding."""
        self.findings_total += 1
        self._of_place[group] += 1
        if self._of_place[group] <= FINDINGS_OF_ONE_PLACE_MAX and len(self.findings) < FINDINGS_KEPT_MAX:
            self.findings.append(finding)

    def passed(self, where: str, why: str) -> None:
        """Digits that were let pass."""
        self._passed[self._shown(where), why] += 1

    def gap(self, place: Place, what: str, why: str) -> None:
        """Something could not be searched."""
        self.not_searched_total += 1
        if len(self.not_searched) < NOT_SEARCHED_KEPT_MAX:
            self.not_searched.append(Gap(place=place, what=self._shown(what), why=why[:TEXT_MAX]))

    def leave_out(self, place: Place, what: str, why: str) -> None:
        """Something is not searched on purpose."""
        self.left_out.append(Gap(place=place, what=self._shown(what), why=why))

    def all_passed(self) -> list[Passed]:
        """What was let pass, most first."""
        listed = self._passed.most_common(NOT_SEARCHED_KEPT_MAX)
        return [Passed(where=where, why=why, count=count) for (where, why), count in listed]

    def _shown(self, text: str) -> str:
        return self.search.hide(text)[:TEXT_MAX]
