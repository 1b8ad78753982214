"""A list's lines as addresses in one form each, and every line that is none with its number and the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from tenderline.core import mailbox, phone
from tenderline.core.errors import InvalidInputError
from tenderline.core.pan import mask_card_numbers
from tenderline.people import dnc_columns
from tenderline.people.dnc_columns import Columns
from tenderline.people.dnc_text import LINE_CHARACTERS_MAX, Lines, Source, UnreadableListError

TEXT_LENGTH_MAX: Final = 200
REASONS_MAX: Final = 40
NO_ADDRESS: Final = "There is no number or address in it."
TOO_LONG: Final = f"The line is longer than {LINE_CHARACTERS_MAX} characters."
SHORTENED: Final = "A spreadsheet wrote it in short form and lost digits; export the column as text."
# What spreadsheets and exports put around a number.
_AROUND: Final = " \t\r\n\x0b\x0c\x00\xa0\u200b\u200e\u200f\u202a\u202c\ufeff'\"="
_AS_DECIMAL = re.compile(r"[0-9]{7,15}\.0+")
_AS_SCIENCE = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]{1,2}")


class Reject(msgspec.Struct, frozen=True):
    """A line, or one of its cells, that is no address. `text` is cut."""

    line: int
    reason: str
    text: str


class Batch(msgspec.Struct):
    """What a part of a file held."""

    values: list[str] = []
    rejects: list[Reject] = []


def normalise(raw: str, region: str | None) -> str:
    """A number as E.164 or an e-mail address in lower case; raises `InvalidInputError` with the reason."""
    text = raw.strip(_AROUND)
    if not text:
        raise UnreadableListError(NO_ADDRESS)
    if "@" in text:
        return mailbox.normalise(text)
    if text[-1] == "0" and _AS_DECIMAL.fullmatch(text):
        text = text.partition(".")[0]
    elif text[0].isdigit() and _AS_SCIENCE.fullmatch(text):
        raise UnreadableListError(SHORTENED)
    return phone.listed(text, region)


class Reader:
    """Reads a list once. What it has counted is whole when `batches` has come to its end."""

    def __init__(
        self,
        source: Source,
        *,
        region: str | None,
        column: str | None = None,
        on_read: Callable[[int], None] | None = None,
    ) -> None:
        self.lines = Lines(source, on_read=on_read)
        self._region = region
        self._column = column
        self.columns: Columns | None = None
        self.line_count = 0
        self.accepted = 0
        self.rejected = 0
        self.reasons: Counter[str] = Counter()

    def batches(self) -> Iterator[Batch]:
        """Raises `UnreadableListError` when the file as a whole cannot be read."""
        for lines in self.lines.batches():
            if self.columns is None:
                sample = [line for line in lines if line is not None]
                self.columns = dnc_columns.find(sample, self._is_address, self._column)
                if self.columns.has_heading:
                    self._skip_heading(lines)
            batch = Batch()
            self._take(lines, self.columns, batch)
            self.accepted += len(batch.values)
            self.rejected += len(batch.rejects)
            yield batch
        if self.columns is None:
            raise UnreadableListError("The file is empty: there is no line in it.")

    def _is_address(self, cell: str) -> bool:
        try:
            return bool(normalise(cell, self._region))
        except InvalidInputError:
            return False

    def _skip_heading(self, lines: list[str | None]) -> None:
        """The heading is the first line with something in it, and counts as a line."""
        at = next(index for index, line in enumerate(lines) if line is not None and line.strip())
        lines[at] = ""

    def _take(self, lines: list[str | None], columns: Columns, batch: Batch) -> None:
        region, keep = self._region, batch.values.append
        for line in lines:
            self.line_count += 1
            if line is None:
                self._reject(batch, TOO_LONG, "")
                continue
            if not line or line.isspace():
                continue
            found = False
            for cell in columns.cells(line):
                if not cell or cell.isspace():
                    continue
                found = True
                try:
                    keep(normalise(cell, region))
                except InvalidInputError as error:
                    self._reject(batch, error.detail, cell)
            if not found:
                self._reject(batch, NO_ADDRESS, line)

    def _reject(self, batch: Batch, reason: str, text: str) -> None:
        if reason in self.reasons or len(self.reasons) < REASONS_MAX:
            self.reasons[reason] += 1
        shown = mask_card_numbers("".join(one if one.isprintable() else "\ufffd" for one in text[:TEXT_LENGTH_MAX]))
        batch.rejects.append(Reject(self.line_count, reason, shown))
