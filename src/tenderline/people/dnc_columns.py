"""Where in a line the numbers and addresses stand: told by the heading, else found by looking at the first lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tenderline.people.dnc_text import UnreadableListError

DELIMITERS: Final = (",", ";", "\t", "|")
SAMPLE_LINES: Final = 100
COLUMNS_MAX: Final = 512
NAMES_SHOWN_MAX: Final = 20
_SHARE_MIN: Final = 0.5  # of the sample's cells that must be addresses, for a column without a heading
_PAIR_SHARE_MIN: Final = 0.8

_PHONE: Final = frozenset(
    {
        *("phone", "phonenumber", "number", "numbers", "telephone", "telephonenumber", "tel", "telno", "phoneno"),
        *("mobile", "mobilephone", "mobilenumber", "mobileno", "cell", "cellphone", "cellnumber", "msisdn", "e164"),
        *("ani", "dnis", "homephone", "workphone", "landline", "contactnumber", "phonee164"),
    }
)
_EMAIL: Final = frozenset({"email", "emails", "emailaddress", "mail", "mailaddress"})
_EITHER: Final = frozenset({"value", "contact", "identifier", "address", "entry", "donotcontact", "dnc"})
_AREA: Final = frozenset({"areacode", "area", "npa"})
_EXCHANGE: Final = frozenset({"exchange", "nxx", "prefix"})
_LINE: Final = frozenset({"line", "linenumber", "xxxx", "suffix", "subscriber", "station"})
_AREA_CELL = re.compile(r"[2-9][0-9]{2}")
_LOCAL_CELL = re.compile(r"[0-9]{3}[ .-]?[0-9]{4}")
_NOT_IN_NAMES = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which cells of a line make up an address: each of `parts` is one, of one cell or of several put together."""

    delimiter: str | None
    parts: tuple[tuple[int, ...], ...]
    has_heading: bool
    told: str
    """In words, for the report."""

    def cells(self, line: str) -> list[str]:
        """The addresses of a line as they stand there; fewer than `parts` when the line is too short."""
        if self.delimiter is None and '"' not in line:
            return [line]
        row = split(line, self.delimiter or ",")
        found: list[str] = []
        for part in self.parts:
            if part[-1] >= len(row):
                continue
            whole = row[part[-1]]
            # Of an area code and a number the number may be whole already.
            joins = len(part) > 1 and sum(map(str.isdigit, whole)) < 10  # a whole number has ten
            found.append("".join(row[index].strip() for index in part) if joins else whole)
        return found


def split(line: str, delimiter: str) -> list[str]:
    """The cells of one line."""
    if '"' in line:
        return next(csv.reader([line], delimiter=delimiter), [])
    return line.split(delimiter)


def find(sample: Sequence[str], is_address: Callable[[str], bool], wanted: str | None = None) -> Columns:
    """Looks at a list's first lines. `wanted` names columns by heading or by number, parted by commas.

    Raises `UnreadableListError` when no column is one of addresses.
    """
    sample = [line for line in sample if line.strip()][:SAMPLE_LINES]
    if not sample:
        raise UnreadableListError("The file is empty: there is no line in it.")
    delimiter = _delimiter(sample)
    rows = [[cell.strip() for cell in split(line, delimiter or ",")[:COLUMNS_MAX]] for line in sample]
    if wanted is not None:
        return _wanted(rows, delimiter, wanted)
    heading = [_NOT_IN_NAMES.sub("", cell.casefold()) for cell in rows[0]]
    if not any(map(is_address, rows[0])) and (parts := _by_heading(heading)):
        return Columns(delimiter, parts, True, _told(rows[0], parts))
    if delimiter is None:
        return Columns(None, ((0,),), False, "one address on each line")
    parts = _by_content(rows, is_address)
    if not parts:
        names = ", ".join(rows[0][:NAMES_SHOWN_MAX])
        raise UnreadableListError(f"No column holds numbers or addresses ({names[:400]}); name it with --column.")
    return Columns(delimiter, parts, False, _told([], parts))


def _delimiter(sample: Sequence[str]) -> str | None:
    """The one that stands equally often in most lines."""
    best, agreeing_most = None, 0
    for delimiter in DELIMITERS:
        counts = Counter(len(split(line, delimiter)) - 1 for line in sample)
        count, agreeing = max(counts.items(), key=lambda pair: (pair[0] > 0, pair[1]))
        if count > 0 and agreeing > agreeing_most and agreeing * 2 >= len(sample):
            best, agreeing_most = delimiter, agreeing
    return best


def _by_heading(heading: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    def first(names: frozenset[str]) -> int | None:
        return next((index for index, name in enumerate(heading) if name in names), None)

    area, exchange, line = first(_AREA), first(_EXCHANGE), first(_LINE)
    found: list[tuple[int, ...]] = []
    if area is not None and exchange is not None and line is not None:
        found.append((area, exchange, line))
    elif area is not None and (local := first(_PHONE)) is not None:
        found.append((area, local))
    else:
        found += [(index,) for index, name in enumerate(heading) if name in _PHONE]
    found += [(index,) for index, name in enumerate(heading) if name in _EMAIL]
    return tuple(found or [(index,) for index, name in enumerate(heading) if name in _EITHER])


def _by_content(rows: Sequence[Sequence[str]], is_address: Callable[[str], bool]) -> tuple[tuple[int, ...], ...]:
    width = max(map(len, rows))

    def share(index: int, is_such: Callable[[str], object]) -> float:
        cells = [row[index] for row in rows if index < len(row) and row[index]]
        return sum(bool(is_such(cell)) for cell in cells) / max(1, len(cells))

    for index in range(width - 1):
        if min(share(index, _AREA_CELL.fullmatch), share(index + 1, _LOCAL_CELL.fullmatch)) >= _PAIR_SHARE_MIN:
            return ((index, index + 1),)
    shares = [(share(index, is_address), -index) for index in range(width)]
    best, at = max(shares)
    return ((-at,),) if best >= _SHARE_MIN else ()


def _wanted(rows: Sequence[Sequence[str]], delimiter: str | None, wanted: str) -> Columns:
    names = [_NOT_IN_NAMES.sub("", cell.casefold()) for cell in rows[0]]
    parts: list[tuple[int, ...]] = []
    by_name = False
    for one in wanted.split(","):
        name = _NOT_IN_NAMES.sub("", one.casefold())
        if name in names:
            parts.append((names.index(name),))
            by_name = True
        elif name.isdecimal() and 1 <= int(name[:6]) <= len(names):
            parts.append((int(name) - 1,))
        else:
            known = ", ".join(rows[0][:NAMES_SHOWN_MAX])
            raise UnreadableListError(f"There is no column {one.strip()[:64]!r}; the first line has {known[:400]}.")
    return Columns(delimiter, tuple(parts), by_name, _told(rows[0] if by_name else [], tuple(parts)))


def _told(names: Sequence[str], parts: tuple[tuple[int, ...], ...]) -> str:
    def of(part: tuple[int, ...]) -> str:
        return " with ".join(repr(names[index][:64]) if names else str(index + 1) for index in part)

    return f"column{'s' if len(parts) > 1 else ''} {', '.join(map(of, parts))}"
