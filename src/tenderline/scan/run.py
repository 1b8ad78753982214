"""One scan from beginning to end: search, sign, keep, and tell the audit log."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.core.ids import uuid7
from tenderline.scan import database, files, memory, recordings, report
from tenderline.scan.canaries import Canaries
from tenderline.scan.result import Notes, Place, Report
from tenderline.scan.search import Search
from tenderline.store import audit, embedded_cluster, scans
from tenderline.store.scans import KeptScan

log = structlog.get_logger(__name__)

EVERY_PLACE: Final = tuple(Place)
LOOKED_FOR: Final = [
    "card numbers of 13 to 19 digits: issuer's prefix, length and Luhn sum, in digits or in groups with spaces, dashes "
    "or dots, as ASCII, UTF-8, UTF-16, UTF-32, base64, hexadecimal and JSON escapes",
    "thirteen or more digits in a row, spelled in English or Spanish, in columns and text files",
    "canaries, when some were given: in all these, and in packed BCD",
    "runs of four or more key tones in recordings",
    "runs of four or more keys in packet captures of calls, as RTP events or as tones in mu-law or A-law",
]


@dataclass(frozen=True)
class Wanted:
    """What somebody asked for."""

    started_by: str
    places: tuple[Place, ...] = EVERY_PLACE
    canaries: Canaries | None = None
    paths: list[Path] = field(default_factory=list)
    passing: list[Path] | None = None
    """Folders of temporary files and core dumps; None takes this machine's."""
    pause_s: float = 0.0
    on_bytes: Callable[[Place, int], None] | None = None


@dataclass(frozen=True)
class Done:
    """A scan with where its report lies."""

    report: Report
    file: Path


class Scan:
    """One scan; `stop` ends it at its next piece."""

    def __init__(self, services: Services, wanted: Wanted) -> None:
        self._services = services
        self._wanted = wanted
        self._place = Place.DATABASE
        self._search = Search(wanted.canaries, pause_s=wanted.pause_s, on_bytes=self._on_bytes)
        self.notes = Notes(self._search)

    def stop(self) -> None:
        """Lets it end soon, without a report."""
        self._search.stop.set()

    def _on_bytes(self, size_bytes: int) -> None:
        if self._wanted.on_bytes is not None:
            self._wanted.on_bytes(self._place, size_bytes)

    async def run(self) -> Done:
        """Searches, then keeps the report as a file, as a row and in the audit log."""
        began = utc_now()
        looks = {
            Place.DATABASE: self._database,
            Place.FILES: self._files,
            Place.RECORDINGS: self._recordings,
            Place.MEMORY: self._memory,
        }
        try:
            for place in self._wanted.places:
                self._place = place
                await looks[place]()
        finally:
            self.stop()  # a thread of ours ends too, when we are cancelled
        return await self._keep(began)

    async def _database(self) -> None:
        await database.search(self._services.pool, self.notes)
        home = self._services.settings.data_dir / "postgres"
        if await asyncio.to_thread(home.is_dir):
            await asyncio.to_thread(files.search_cluster, home, self.notes)
        if self._services.settings.database_url is not None and not await self._is_embedded(home):
            why = "they lie on the database's machine; search its data folder there, with --only files --path FOLDER"
            self.notes.gap(Place.DATABASE, "the server's data files and write-ahead log", why)

    async def _is_embedded(self, home: Path) -> bool:
        """`serve` gives its processes the URL of the embedded server."""
        async with self._services.pool.acquire() as connection:
            folder = await scans.data_folder(connection)
        return folder is not None and await asyncio.to_thread(_lies_in, Path(folder), home)

    async def _files(self) -> None:
        passing = files.passing_folders() if self._wanted.passing is None else self._wanted.passing
        settings = self._services.settings
        given = [*self._wanted.paths, *settings.scan.paths, *self._heads(), *memory.core_dumps()]
        await asyncio.to_thread(files.search, files.Folders(settings.data_dir, given, passing), self.notes)

    def _heads(self) -> list[Path]:
        path = self._services.audit_head_file
        return [path] if path.exists() else []

    async def _recordings(self) -> None:
        await recordings.search(self._services, self.notes)

    async def _memory(self) -> None:
        home = self._services.settings.data_dir.resolve() / "postgres"
        name = f"tenderline-{embedded_cluster.path_digest(home)}"
        await asyncio.to_thread(memory.search, self.notes, cluster_folder=home, cluster_name=name)

    def _report(self, began: datetime) -> Report:
        notes = self.notes
        try:
            ours = version("tenderline")
        except PackageNotFoundError:
            ours = "unknown"
        return Report(
            id=str(uuid7()),
            started_at=began,
            ended_at=utc_now(),
            started_by=self._wanted.started_by,
            host=socket.gethostname(),
            version=ours,
            places=list(self._wanted.places),
            looked_for=LOOKED_FOR,
            canaries=self._search.canaries.count,
            searched=notes.searched,
            findings_total=notes.findings_total,
            findings=notes.findings,
            not_searched_total=notes.not_searched_total,
            not_searched=notes.not_searched,
            left_out=notes.left_out,
            passed=notes.all_passed(),
            public_key="",
        )

    async def _keep(self, began: datetime) -> Done:
        services = self._services
        if self._search.canaries.has_short:
            self.notes.leave_out(Place.FILES, "canaries of up to five characters", "only texts are searched for them")
        unsigned = self._report(began)
        data = await asyncio.to_thread(report.sign, unsigned, audit.load_or_make_key(services.audit_key_file))
        signed = report.read(data)
        path = await asyncio.to_thread(report.write, services.settings.data_dir, signed, data)
        kept = KeptScan(
            id=UUID(signed.id),
            started_at=signed.started_at,
            ended_at=signed.ended_at,
            started_by=signed.started_by,
            host=signed.host,
            places=[one.value for one in signed.places],
            paths=sorted(str(one) for one in {*self._wanted.paths, *services.settings.scan.paths}),
            findings=signed.findings_total,
            not_searched=signed.not_searched_total,
            bytes_searched=self._search.bytes_searched,
            canaries=signed.canaries,
            file=str(path),
        )
        told = {
            "findings": signed.findings_total,
            "notSearched": signed.not_searched_total,
            "places": kept.places,
            "host": signed.host,
            "sha256": report.digest(data),
        }
        action = "card_data.found" if signed.findings_total else "card_data.searched"
        async with services.pool.acquire() as connection, connection.transaction():
            await scans.keep(connection, kept, data.decode())
            await audit.append(
                connection, actor=signed.started_by, action=action, subject=f"scan:{signed.id}", data=told
            )
        if signed.findings_total:
            log.error("card data found", scan=signed.id, findings=signed.findings_total, report=str(path))
        return Done(signed, path)


def _lies_in(folder: Path, home: Path) -> bool:
    return folder.resolve().is_relative_to(home.resolve())
