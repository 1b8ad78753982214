"""Planted card data is found in every kind of place, and an installation in use holds none."""

from __future__ import annotations

import asyncio
import base64
import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from support import command, planted, processes, services, world
from support.planted import AMEX, VISA, scan
from tenderline.scan import files, memory, report
from tenderline.scan.result import Notes, Place
from tenderline.scan.search import Search
from tenderline.store import audit, db, scans
from tenderline.store.embedded import EmbeddedPostgres
from tenderline.store.recording_store import RecordingStore
from tenderline.worker import nightly_scan


def wheres(done):
    return [one.where for one in done.report.findings]


@pytest.mark.parametrize(
    ("statement", "value", "place"),
    [
        ("CREATE TABLE odd AS SELECT 7 AS id, $1::text AS note", f"card {VISA} thanks", "note"),
        ("CREATE TABLE odd AS SELECT 7 AS id, jsonb_build_object('a', $1::text) AS note", VISA, "note"),
        ("CREATE TABLE odd AS SELECT 7 AS id, $1::bytea AS note", b"\x00\xff" + VISA.encode("utf-16"), "note"),
        ("CREATE TABLE odd AS SELECT 7 AS id, ARRAY[$1::text] AS note", VISA, "note"),
        ("CREATE TABLE odd AS SELECT 7 AS id, $1::bigint AS note", int(VISA), "note"),
        ("CREATE TABLE odd AS SELECT 7 AS id, $1::text AS note", base64.b64encode(AMEX.encode()).decode(), "note"),
        ("CREATE TABLE odd AS SELECT 7 AS id, $1::text AS note", "four two " * 8, "note"),
        ('CREATE TABLE odd AS SELECT 7 AS id, $1::text AS "No""te"', VISA, 'No"te'),
    ],
)
async def test_a_planted_number_is_found_in_every_type_of_column(pool, tmp_path, statement, value, place):
    await pool.execute(statement, value)
    await pool.execute("ALTER TABLE odd ADD PRIMARY KEY (id)")
    done = await scan(pool, tmp_path, "database")
    (found,) = [one for one in done.report.findings if one.where.startswith("table public.odd")]
    assert found.where == f"table public.odd, column {place}, id=7"
    whole = report.read(done.file.read_bytes())
    assert VISA not in done.file.read_text() + str(whole)
    assert done.report.verdict == "found"


async def test_a_huge_value_is_searched_to_its_end_and_a_key_that_is_a_number_is_masked(pool, tmp_path):
    await pool.execute("CREATE TABLE huge (id text PRIMARY KEY, body text, raw bytea)")
    filler = "no digits here, " * 500_000
    await pool.execute("INSERT INTO huge VALUES ($1, $2, $3)", VISA, filler + AMEX, os.urandom(5_000_000))
    done = await scan(pool, tmp_path, "database")
    by_column = {one.where: one for one in done.report.findings if "public.huge" in one.where}
    assert set(by_column) == {
        "table public.huge, column id, id=424242…4242",
        "table public.huge, column body, id=424242…4242",
    }
    assert by_column["table public.huge, column body, id=424242…4242"].offset == len(filler)


async def test_a_table_that_cannot_be_read_is_named_and_costs_none_of_the_others(pool, tmp_path, monkeypatch):
    await pool.execute("CREATE TABLE odd (id int PRIMARY KEY, note text)")
    await pool.execute("INSERT INTO odd VALUES (1, $1)", VISA)
    await pool.execute("CREATE MATERIALIZED VIEW seen AS SELECT * FROM odd")
    await pool.execute("CREATE FUNCTION fail() RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'")
    await pool.execute("CREATE DOMAIN odd_text AS text")
    await pool.execute("CREATE TABLE last (note odd_text)")
    await pool.execute("INSERT INTO last VALUES ($1)", AMEX)
    done = await scan(pool, tmp_path, "database")
    assert {one.split(",")[0] for one in wheres(done)} == {"table public.odd", "table public.seen", "table public.last"}
    original = scans.tables

    async def broken(connection):
        found = await original(connection)
        return [
            scans.Table(one.name, 0, one.columns, f"{one.read_rows} WHERE fail() = ''", one.read_on)
            if one.name == "public.odd"
            else one
            for one in found
        ]

    monkeypatch.setattr(scans, "tables", broken)
    done = await scan(pool, tmp_path, "database")
    assert [one.what for one in done.report.not_searched] == ["table public.odd"]
    assert "table public.last, column note, ctid=(0,1)" in wheres(done)


async def test_samples_that_the_planner_keeps_are_searched(pool, tmp_path):
    await pool.execute("CREATE TABLE gone AS SELECT $1::text AS note FROM generate_series(1, 50)", VISA)
    await pool.execute("ANALYZE gone")
    await pool.execute("DELETE FROM gone")
    done = await scan(pool, tmp_path, "database")
    assert "table pg_stats, column pg_stats, public.gone.note" in wheres(done)


async def test_an_installation_in_use_gives_no_finding(pool, tmp_path):
    for _ in range(20):
        debtor = await world.make_debtor(pool)
    await world.make_debtor(pool, channel="email")
    await world.claim(pool, batch_max=5)
    await pool.execute("ANALYZE")
    async with pool.acquire() as connection, connection.transaction():
        for number in range(50):
            data = {"who": str(debtor.person_id), "number": number}
            await audit.append(connection, actor="test", action="x", subject="y", data=data)
    await audit.sign_head(pool, audit.load_or_make_key(tmp_path / "audit_signing_key.pem"), tmp_path / "heads.jsonl")
    done = await scan(pool, tmp_path, "database", "files", "recordings")
    assert done.report.findings_total == 0
    again = await scan(pool, tmp_path, "database", "files", "recordings")
    assert again.report.findings_total == 0, "the report of the first scan is among what is searched"


def _own_server(folder, work):
    with EmbeddedPostgres(folder, durable=False) as server:

        async def run():
            await db.migrate(server.url)
            async with db.open_pool(server.url, size_max=3) as pool:
                return await work(pool)

        return asyncio.run(run())


def test_a_row_that_was_deleted_is_found_in_the_write_ahead_log():
    async def work(pool):
        clean = await scan(pool, folder, "database")
        await pool.execute("CREATE TABLE odd (note jsonb)")
        await pool.execute("INSERT INTO odd VALUES (jsonb_build_object('number', $1::text, 'name', 'x'))", VISA)
        await pool.execute("DROP TABLE odd")
        await pool.execute("CHECKPOINT")
        return clean, await scan(pool, folder, "database")

    with processes.open_folder() as folder:
        clean, done = _own_server(folder, work)
    assert (clean.report.verdict, clean.report.findings) == ("clean", [])
    assert any("/pg_wal/" in where for where in wheres(done))
    assert not any(where.startswith("table public") for where in wheres(done))


async def test_the_files_of_a_database_elsewhere_are_named_as_not_searched(pool, tmp_path):
    done = await scan(pool, tmp_path, "database", flags={"database_url": "postgresql://elsewhere.example/x"})
    assert done.report.verdict == "incomplete"
    assert "database's machine" in done.report.not_searched[0].why


async def test_logs_temporary_files_and_packed_logs_are_searched(pool, tmp_path):
    data, logs, temporary = (tmp_path / name for name in ("data", "logs", "temporary"))
    for folder in (data, logs, temporary):
        folder.mkdir()
    (data / "app.log").write_text(f'{{"event": "paid with {VISA}"}}\n')
    (data / "wide.txt").write_text(f"x{AMEX}", "utf-16")
    (logs / "old.log.gz").write_bytes(gzip.compress(f"spoken {'four two ' * 8}".encode()))
    (logs / "encoded").write_bytes(base64.encodebytes(b"." * 50 + VISA.encode() + b"." * 50))
    (temporary / "core.123").write_bytes(os.urandom(300_000) + VISA.encode() + bytes(300_000))
    (temporary / f"{VISA}.txt").touch()
    (temporary / "link").symlink_to(data / "app.log")
    os.mkfifo(temporary / "pipe")
    done = await scan(pool, data, "files", paths=[logs], passing=[temporary])
    assert sorted(wheres(done)) == sorted(
        [
            f"file {data}/app.log", f"file {data}/wide.txt", f"file {logs}/old.log.gz, unpacked",
            f"file {logs}/encoded", f"file {temporary}/core.123", f"the name of a file in {temporary}",
        ]
    )  # fmt: skip
    assert next(one for one in done.report.findings if "core.123" in one.where).offset == 300_000


async def test_what_cannot_be_read_is_named_and_stops_nothing(pool, tmp_path):
    (tmp_path / "broken.log.gz").write_bytes(gzip.compress(os.urandom(5_000))[:-2_000])
    for name, pack in {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.items():
        packed = bytearray(pack(os.urandom(5_000).hex().encode()))
        packed[10:40] = b"\xff" * 30
        (tmp_path / f"damaged.{name}").write_bytes(packed)
    (tmp_path / "closed.zip").write_bytes(b"PK")
    (tmp_path / "last.log").write_text(VISA)
    (tmp_path / "bad\udcff.log").write_bytes(b"\xff\x00" * 1_000)
    done = await scan(pool, tmp_path, "files", paths=[tmp_path / "nowhere"])
    assert wheres(done) == [f"file {tmp_path}/last.log"]
    assert {one.what.rpartition("/")[2] for one in done.report.not_searched} == {
        "broken.log.gz",
        "damaged.gz",
        "damaged.bz2",
        "damaged.xz",
        "closed.zip",
        "nowhere",
    }


async def test_key_tones_in_a_recording_are_found_and_broken_recordings_are_named(pool, tmp_path):
    made = services.make(pool, data_dir=str(tmp_path))
    quiet = await planted.record(pool, made, b"\xff" * 40_000)
    spoiled = await planted.record(pool, made, b"\xff" * 40_000, spoil=True)
    loud = await planted.record(pool, made, b"\xff" * 20_100 + planted.tones("4242424242424242") + b"\xff" * 8_000)
    (RecordingStore(made.settings).spool.parent / "recordings" / "stranger.tlr").write_bytes(b"x")
    done = await scan(pool, tmp_path, "recordings")
    (found,) = done.report.findings
    assert found.where == f"recording {loud}, channel caller"
    assert found.written.startswith("16 key tones in a row")
    assert 2_400 < (found.offset or 0) < 2_600
    assert [one.what for one in done.report.not_searched] == [f"recording {spoiled}", "file stranger.tlr"]
    assert str(quiet) not in str(done.report)


HOLDER = """
import sys
number = sys.stdin.readline().strip()
kept = [number.encode("utf-16-le"), number + " of somebody"]
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_number_in_the_memory_of_another_process_is_found():
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(VISA + "\n")
        holder.stdin.flush()
        holder.stdout.readline()
        notes = Notes(Search())
        memory.search(notes, cluster_folder=None, cluster_name=None, pids=[holder.pid])
        holder.stdin.close()
    assert notes.not_searched == []
    assert {"digits", "UTF-16"} <= {one.written for one in notes.findings}
    assert all(one.masked == "424242…4242" and str(holder.pid) in one.where for one in notes.findings)


def test_memory_that_may_not_be_read_is_named_as_not_searched(monkeypatch):
    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(memory, "_maps", closed)
    notes = Notes(Search())
    memory.search(notes, cluster_folder=None, cluster_name=None, pids=[1])
    assert notes.not_searched[0].why.startswith("Permission denied")
    assert notes.findings == []


def test_a_capture_at_work_is_left_out_by_name_and_so_is_the_search_itself(monkeypatch):
    listed = [memory.Process(1, "python -m tenderline.cardholder.child", True), memory.Process(os.getpid(), "x", False)]
    monkeypatch.setattr(memory, "processes", lambda _: listed)
    notes = Notes(Search())
    memory.search(notes, cluster_folder=None, cluster_name="x")
    assert len(notes.left_out) == 2
    assert notes.search.bytes_searched == 0


async def test_a_report_verifies_and_a_changed_one_does_not(pool, tmp_path):
    (tmp_path / "a.log").write_text(VISA)
    done = await scan(pool, tmp_path, "files")
    data, key = done.file.read_bytes(), audit.load_public_key(tmp_path / "audit_signing_key.pem")
    assert report.why_not_genuine(data, key) is None
    changed = json.loads(data)
    changed["findings"], changed["findingsTotal"] = [], 0
    assert "changed" in (report.why_not_genuine(json.dumps(changed).encode(), key) or "")
    added = json.loads(data) | {"note": "all is well"}
    assert "added" in (report.why_not_genuine(json.dumps(added).encode(), key) or "")
    other = audit.load_or_make_key(tmp_path / "other.pem")
    forged = report.sign(msgspec.structs.replace(done.report, findings=[], findings_total=0), other)
    assert "another key" in (report.why_not_genuine(forged, key) or "")
    assert done.file.stat().st_mode & 0o077 == 0


async def test_a_scan_is_kept_with_its_alert_and_a_clean_one_ends_the_alert(pool, tmp_path):
    (tmp_path / "a.log").write_text(VISA)
    done = await scan(pool, tmp_path, "files")
    row = await pool.fetchrow("SELECT action, subject, data::text AS data FROM audit ORDER BY number DESC LIMIT 1")
    assert row["action"] == "card_data.found"
    assert json.loads(row["data"])["sha256"] == report.digest(done.file.read_bytes())
    async with pool.acquire() as connection:
        assert await scans.open_findings(connection) == 1
        assert await scans.report_of(connection, UUID(done.report.id)) == done.file.read_text()
        (tmp_path / "a.log").unlink()
        await scan(pool, tmp_path, "recordings")
        assert await scans.open_findings(connection) == 1, "another place was searched"
        (tmp_path / "a.zip").touch()
        await scan(pool, tmp_path, "files")
        assert await scans.open_findings(connection) == 1, "something was not searched that was before"
        (tmp_path / "a.zip").unlink()
        await scan(pool, tmp_path, "files", "recordings")
        assert await scans.open_findings(connection) == 0


async def test_the_night_is_searched_once_by_one_worker(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "passing_folders", list)
    monkeypatch.setattr(nightly_scan.run, "EVERY_PLACE", (Place.FILES,))
    made = services.make(pool, data_dir=str(tmp_path), scan__pause_ms=0)
    await nightly_scan.NightlyScan(made).turn()
    assert await pool.fetchval("SELECT count(*) FROM scan") == 0, "a new installation waits for its hour"
    await pool.execute("UPDATE migration SET at = at - interval '2 days'")
    await asyncio.gather(*(nightly_scan.NightlyScan(made).turn() for _ in range(3)))
    await nightly_scan.NightlyScan(made).turn()
    assert await pool.fetchval("SELECT count(*) FROM scan WHERE started_by = 'nightly'") == 1


@pytest.mark.parametrize(("now", "struck"), [(2, 19), (3, 20), (23, 20)])
def test_the_last_time_that_the_hour_struck(now, struck):
    assert nightly_scan.since(3, datetime(2026, 11, 20, now, 30, tzinfo=UTC)) == datetime(
        2026, 11, struck, 3, tzinfo=UTC
    )


async def test_the_command_exits_with_what_it_found_and_never_shows_a_canary(database_url, tmp_path):
    environment = command.environment_of(database_url, tmp_path) | {"TMPDIR": str(tmp_path)}
    (tmp_path / "a.txt").write_text("the token is tok-Geheim-77.")
    words = ("scan", "--only", "files", "--json")
    code, out, err = await command.run(*words, environment=environment)
    assert code == 0, out + err
    code, out, err = await command.run(*words, "--canary", "-", environment=environment, stdin=b"tok-Geheim-77\n")
    told = json.loads(out)
    assert (code, told["verdict"], told["findings"][0]["written"]) == (1, "found", "canary 1, plain")
    assert "Geheim" not in out + err
    assert "Geheim" not in (tmp_path / told["file"]).read_text()
    code, out, _ = await command.run(*words, "--path", str(tmp_path / "nowhere"), environment=environment)
    assert (code, json.loads(out)["verdict"]) == (2, "incomplete")
    assert (await command.run("scan", "verify", told["file"], environment=environment))[0] == 0
    file = tmp_path / "changed.json"
    file.write_text((tmp_path / told["file"]).read_text().replace('"canaries": 1', '"canaries": 0'))
    code, out, _ = await command.run("scan", "verify", str(file), environment=environment)
    assert (code, out.startswith("Not genuine")) == (1, True)
    assert (await command.run("scan", "--only", "cellar", environment=environment))[0] == 2
