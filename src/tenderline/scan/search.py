"""A stream of bytes searched in windows of bounded size; nothing is missed where one ends and the next begins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from tenderline.core.errors import TenderlineError
from tenderline.scan import patterns
from tenderline.scan.canaries import Canaries
from tenderline.scan.patterns import HIT_BYTES_MAX, Hit

PIECE_BYTES = 256 * 1024
"""Read at once; a regular expression holds everybody else of its process up for one of these."""


class ScanStoppedError(TenderlineError):
    """The scan was told to stop before its end; start it again."""

    code = "scan.stopped"


class Search:
    """What is looked for, and how gently."""

    def __init__(
        self,
        canaries: Canaries | None = None,
        *,
        pause_s: float = 0.0,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self.canaries = canaries or Canaries([])
        self.stop = threading.Event()
        self.bytes_searched = 0
        self._pause_s = pause_s
        self._on_bytes = on_bytes

    def find(self, data: bytes, *, as_text: bool = False) -> Iterator[Hit]:
        """Everything in one piece of bytes."""
        yield from patterns.find(data, as_text=as_text)
        if self.canaries.count:
            yield from self.canaries.find(data, as_text=as_text)

    def breathe(self, size_bytes: int) -> None:
        """After each piece: counts it, lets others run, and ends the scan when it was told to."""
        self.bytes_searched += size_bytes
        if self._on_bytes is not None:
            self._on_bytes(size_bytes)
        if self.stop.is_set():
            raise ScanStoppedError()
        if self._pause_s:
            time.sleep(self._pause_s)

    def stream(
        self,
        pieces: Iterable[bytes],
        *,
        as_text: bool = False,
        excuse: Callable[[bytes, Hit], str | None] = lambda _, hit: hit.excuse,
    ) -> Iterator[tuple[int, Hit]]:
        """(offset, hit) of everything in the pieces joined, each once. `excuse` knows what is peculiar to a place."""
        window, window_at, told_until = b"", 0, 0
        for piece in pieces:
            window = window[-2 * HIT_BYTES_MAX :] if window else b""
            window += piece
            end = window_at + len(window)
            for hit in self.find(window, as_text=as_text):
                at = window_at + hit.start
                if told_until <= at < end - HIT_BYTES_MAX:
                    yield at, replace(hit, excuse=hit.excuse or excuse(window, hit))
            told_until = max(told_until, end - HIT_BYTES_MAX)
            window_at = end - min(len(window), 2 * HIT_BYTES_MAX)
            self.breathe(len(piece))
        window = window[-2 * HIT_BYTES_MAX :]
        for hit in self.find(window, as_text=as_text):
            if window_at + hit.start >= told_until:
                yield window_at + hit.start, replace(hit, excuse=hit.excuse or excuse(window, hit))

    def hide(self, name: str) -> str:
        """A name of a file, a row or a process as a report may hold it."""
        shown = self.canaries.hide(name)
        data = shown.encode("utf-8", "replace")
        for hit in sorted(patterns.find(data), key=lambda one: one.start, reverse=True):
            if hit.excuse is None:
                data = data[: hit.start] + hit.masked.encode() + data[hit.end :]
        return data.decode("utf-8", "replace")
