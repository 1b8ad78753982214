"""Do-not-contact lists in the database: all of a file or nothing, replaced and ended as asked, obeyed by the gate."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support import command, world
from support.locks import waits_for
from tenderline.compliance import ruleset
from tenderline.people import dnc_import
from tenderline.people.dnc_import import Ask, NothingInItError
from tenderline.people.dnc_reader import Reject
from tenderline.store import dnc
from tenderline.store.dnc import ListBusyError, ListShrinksError

RULES = ruleset.shipped()
ONE, TWO, THREE = "+12025550123", "+12125550199", "+13105550142"
KILLED = -signal.SIGKILL
WAIT_S = 60.0


def ask(name: str = "national", **more: Any) -> Ask:
    return Ask(**{"list": name, "region": "US", "by": "test", **more})


async def read_in(pool: Any, values: list[str], wanted: Ask | None = None, **more: Any) -> dnc_import.Report:
    rejects: list[Reject] = []
    return await dnc_import.read_in(
        pool,
        dnc_import.as_file(values),
        wanted or ask(**more),
        RULES,
        file_name="list.csv",
        on_reject=rejects.append,
    )


async def standing(pool: Any) -> dict[tuple[str, str], tuple[list[str], bool]]:
    rows = await pool.fetch("SELECT value, list, channels, expires_at FROM dnc_entry")
    return {(row["value"], row["list"]): (row["channels"], row["expires_at"] is not None) for row in rows}


async def entries(pool: Any) -> dict[tuple[str, str], int]:
    """As they are counted; which must be as many as there are."""
    counted = {(row["list"], row["source"]): row["entries"] for row in await pool.fetch("SELECT * FROM dnc_list")}
    there = await pool.fetch("SELECT list, source, count(*) AS n FROM dnc_entry GROUP BY 1, 2")
    assert {key: n for key, n in counted.items() if n} == {(row["list"], row["source"]): row["n"] for row in there}
    return counted


async def test_a_file_is_read_in_once_however_often_it_is_read(pool):
    first = await read_in(pool, ["2025550123", "(202) 555-0123", TWO, "junk"])
    assert (first.lines, first.accepted, first.duplicates, first.rejected) == (4, 3, 1, 1)
    assert (first.changed.added, first.changed.removed, first.changed.entries) == (2, 0, 2)
    again = await read_in(pool, [ONE, TWO])
    assert (again.changed.added, again.changed.renewed, again.changed.entries) == (0, 0, 2)
    assert await entries(pool) == {("national", "US"): 2}
    told = [json.loads(row["data"]) for row in await pool.fetch("SELECT data::text FROM audit ORDER BY number")]
    assert [one["added"] for one in told] == [2, 0]
    assert (told[0]["file"], told[0]["lines"], told[0]["rejected"]) == ("list.csv", 4, 1)
    assert len(bytes.fromhex(told[0]["sha256"])) == 32
    assert ONE not in str(told)


async def test_a_dry_run_says_the_same_and_changes_nothing(pool):
    await read_in(pool, [ONE, TWO])
    tried = await read_in(pool, [TWO, THREE], replace=True, dry_run=True)
    assert (tried.changed.added, tried.changed.removed, tried.changed.entries) == (1, 1, 2)
    assert set(await standing(pool)) == {(ONE, "national"), (TWO, "national")}
    done = await read_in(pool, [TWO, THREE], replace=True)
    assert (done.changed.added, done.changed.removed, done.changed.entries) == (1, 1, 2)
    assert set(await standing(pool)) == {(TWO, "national"), (THREE, "national")}
    assert await pool.fetchval("SELECT count(*) FROM audit") == 2
    await entries(pool)


async def test_a_source_replaces_what_it_brought_itself_and_nothing_of_others(pool):
    await read_in(pool, [ONE], source="US registry")
    await read_in(pool, [ONE, TWO], source="CA registry", region="CA")
    await read_in(pool, [ONE], ask("internal"))
    await read_in(pool, [THREE], source="US registry", replace=True)
    assert await entries(pool) == {
        ("national", "US registry"): 1,
        ("national", "CA registry"): 2,
        ("internal", "US"): 1,
    }
    async with pool.acquire() as connection:
        found = await dnc.of_value(connection, ONE)
    assert [(one.list, one.source) for one in found] == [("internal", "US"), ("national", "CA registry")]


async def test_what_is_added_neither_narrows_nor_shortens_what_stands(pool):
    await read_in(pool, [ONE], channels=["sms"], expires_days=10)
    await read_in(pool, [TWO])
    added = await read_in(pool, [ONE, TWO], channels=["voice"], expires_days=5)
    assert added.changed.renewed == 1
    expected = (["sms", "voice_artificial", "voice_live"], True)
    assert await standing(pool) == {(ONE, "national"): expected, (TWO, "national"): ([], False)}
    ends = await pool.fetchval("SELECT expires_at FROM dnc_entry WHERE value = $1", ONE)
    assert ends > datetime.now(UTC) + timedelta(days=9)
    replaced = await read_in(pool, [ONE, TWO], channels=["sms"], expires_days=5, replace=True)
    assert replaced.changed.renewed == 2
    assert await standing(pool) == dict.fromkeys([(ONE, "national"), (TWO, "national")], (["sms"], True))


async def test_an_entry_that_had_ended_stands_anew(pool):
    await read_in(pool, [ONE], expires_days=5)
    await pool.execute(
        "UPDATE dnc_entry SET added_at = now() - interval '40 days', expires_at = now() - interval '1 day'"
    )
    async with pool.acquire() as connection:
        assert [one.is_over for one in await dnc.of_value(connection, ONE)] == [True]
    await read_in(pool, [ONE], expires_days=5)
    async with pool.acquire() as connection:
        (entry,) = await dnc.of_value(connection, ONE)
    assert not entry.is_over
    assert entry.added_at > datetime.now(UTC) - timedelta(days=1), "it did not stand in between"


async def test_a_replacement_that_looks_cut_off_is_refused(pool):
    await read_in(pool, [f"+1202555{number:04d}" for number in range(10)])
    with pytest.raises(ListShrinksError):
        await read_in(pool, [ONE], replace=True)
    assert await entries(pool) == {("national", "US"): 10}
    await read_in(pool, [ONE], replace=True, may_shrink=True)
    assert await entries(pool) == {("national", "US"): 1}


async def test_a_file_without_any_number_replaces_nothing(pool):
    await read_in(pool, [ONE])
    with pytest.raises(NothingInItError):
        await read_in(pool, ["no", "such", "thing"], replace=True, may_shrink=True)
    assert await entries(pool) == {("national", "US"): 1}


async def test_two_imports_into_one_list_take_turns(pool):
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(dnc.query("dnc", "lock_source"), "national", "US")
        waiting = asyncio.create_task(read_in(pool, [ONE]))
        await waits_for(pool, connection)
        assert not waiting.done()
    await waiting
    both = await asyncio.gather(*(read_in(pool, [ONE, TWO, THREE], replace=True) for _ in range(4)))
    assert {report.changed.entries for report in both} == {3}
    await entries(pool)


async def test_an_import_does_not_wait_for_another_for_ever(pool, monkeypatch):
    real = dnc.query
    monkeypatch.setattr(
        dnc,
        "query",
        lambda file, name: "SET LOCAL lock_timeout = '50ms'" if name == "bound_waiting" else real(file, name),
    )
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(real("dnc", "lock_source"), "national", "US")
        with pytest.raises(ListBusyError):
            await read_in(pool, [ONE])
    assert await standing(pool) == {}


async def test_whoever_is_put_on_our_own_list_is_not_contacted_any_more(pool):
    listed, other = await world.make_debtor(pool), await world.make_debtor(pool)
    await read_in(pool, [listed.address], ask("internal"))
    await world.claim(pool)
    refused = await world.attempt_state(pool, listed.attempt_ids[0])
    assert refused["state"] == "suppressed"
    assert "OWN-DNC" in json.loads(refused["decision"])["rules"]
    assert (await world.attempt_state(pool, other.attempt_ids[0]))["state"] == "leased"


async def test_entries_of_one_channel_silence_that_channel(pool):
    debtor = await world.make_debtor(pool)
    await read_in(pool, [debtor.address], ask("internal", channels=["voice"]))
    await world.claim(pool)
    assert (await world.attempt_state(pool, debtor.attempt_ids[0]))["state"] == "leased"


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(database_url, tmp_path):
    """Runs a command against the test's database."""
    tmp_path.chmod(0o755)

    async def do(*words: str) -> tuple[int, str, str]:
        return await command.run(*words, environment=command.environment_of(database_url, tmp_path))

    return do


async def test_the_command_reports_every_bad_line_beside_the_file(run, pool, tmp_path):
    file = tmp_path / "registry.csv"
    file.write_bytes("areacode,number\r\n202,5550123\r\nbad,line\r\n212,5550199\r\n,\r\n".encode("utf-16"))
    code, out, err = await run("dnc", "import", str(file), "--list", "national", "--expires-days", "31", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["lines"], told["accepted"], told["rejected"], told["added"]) == (5, 2, 2, 2)
    rejects = Path(told["rejectsFile"])
    assert rejects == tmp_path / "registry.csv.rejects.csv"
    assert oct(rejects.stat().st_mode)[-3:] == "600"
    assert [line.partition(",")[0] for line in rejects.read_text().splitlines()] == ["line", "3", "5"]
    assert await entries(pool) == {("national", "US"): 2}
    file.write_text("202,5550123\n")
    code, out, _ = await run("dnc", "import", str(file), "--list", "national", "--replace", "--dry-run")
    assert code == 0
    assert "Nothing was changed." in out
    assert not rejects.exists(), "what it told is no longer so"


async def test_the_command_lists_checks_and_removes(run, pool, tmp_path):
    file = tmp_path / "ours.txt"
    file.write_text("2025550123\nann@example.org\n")
    assert (await run("dnc", "import", str(file), "--list", "internal"))[0] == 0
    await pool.execute("UPDATE dnc_list SET refreshed_at = now() - interval '40 days'")
    code, out, _ = await run("dnc", "list", "--json")
    lists = {(one["list"], one["source"]): one for one in json.loads(out)}
    assert code == 0
    assert lists["internal", "US"]["entries"] == 2
    assert not lists["internal", "US"]["tooOld"], "our own is never too old"
    assert lists["tps", None]["entries"] == 0
    code, out, _ = await run("dnc", "check", "(202) 555-0123", "--json")
    assert [one["list"] for one in json.loads(out)["entries"]] == ["internal"]
    code, _, err = await run("dnc", "remove", "--list", "internal", "--source", "US", "--why", "by mistake")
    assert code == 1
    assert "kept for ever" in err
    code, out, _ = await run("dnc", "remove", "2025550123", "--list", "internal", "--why", "a wrong number")
    assert code == 0
    assert (await run("dnc", "check", "2025550123"))[1] == "+12025550123 is on no list.\n"
    code, _, err = await run("dnc", "remove", "2025550123", "--list", "internal", "--why", "again")
    assert code == 1
    assert await entries(pool) == {("internal", "US"): 1}
    audit = await pool.fetch("SELECT action, data::text FROM audit ORDER BY number")
    assert [row["action"] for row in audit] == ["dnc.import", "dnc.remove"]
    assert "5550123" not in audit[1]["data"]
    assert "0123" in audit[1]["data"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--list", "natoinal"), "did you mean 'national'"),
        (("--list", "internal", "--replace"), "kept for ever"),
        (("--list", "internal", "--expires-days", "31"), "kept for ever"),
        (("--list", "national", "--channels", "fax"), "known are voice"),
        (("--list", "national", "--expires-days", "0"), "1 to 3650 days"),
        (("--list", "national", "--region", "Utopia"), "write it as US"),
        (("--list", "national", "--column", "phone"), "There is no column 'phone'"),
    ],
)
async def test_what_is_asked_wrongly_is_one_clear_line_and_changes_nothing(run, pool, tmp_path, words, said):
    file = tmp_path / "list.csv"
    file.write_text("2025550123\n")
    code, _, err = await run("dnc", "import", str(file), *words)
    assert code == 1
    assert said in err
    assert "Traceback" not in err
    assert await standing(pool) == {}


FATAL = """
import os, signal, sys
from tenderline.store import dnc
step = sys.argv[1]
original = getattr(dnc, step)
async def trapped(*args, **kwargs):
    if step == "stage":
        args = (args[0], cut_short(args[1]))
    result = await original(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
async def cut_short(parts):
    count = 0
    async for part in parts:
        yield part
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
setattr(dnc, step, trapped)
sys.argv = ["tenderline", *sys.argv[2:]]
from tenderline.cli import main
main()
"""


@pytest.mark.parametrize("step", ["stage", "_note"], ids=["while the file is read", "in the middle of the change"])
async def test_an_import_that_is_killed_leaves_the_list_as_it_was(pool, database_url, tmp_path, step):
    tmp_path.chmod(0o755)
    await read_in(pool, [ONE, TWO])
    file = tmp_path / "long.txt"
    file.write_text("".join(f"+1305{number:07d}\n" for number in range(2_000_000, 2_030_000)))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FATAL, step, "dnc", "import", str(file), "--list", "national", "--replace",
        env=command.environment_of(database_url, tmp_path), cwd="/",
    )  # fmt: skip
    assert await asyncio.wait_for(child.wait(), WAIT_S) == KILLED
    assert set(await standing(pool)) == {(ONE, "national"), (TWO, "national")}
    assert await entries(pool) == {("national", "US"): 2}
    assert await pool.fetchval("SELECT count(*) FROM audit") == 1
    done = await read_in(pool, [THREE], replace=True)
    assert (done.changed.added, done.changed.removed) == (1, 2), "and it can be read in again at once"


async def test_a_file_that_ends_in_the_middle_of_an_upload_changes_nothing(pool):
    class Breaks:
        def read(self, size: int) -> bytes:
            del size
            self.count = getattr(self, "count", 0) + 1
            if self.count == 3:
                raise OSError("the disk went away")
            return b"2025550123\n" * 100

    with pytest.raises(OSError, match="the disk went away"):
        await dnc_import.read_in(pool, Breaks(), ask(), RULES, file_name="x", on_reject=lambda _: None)
    assert await standing(pool) == {}
    await read_in(pool, [TWO])
    assert set(await standing(pool)) == {(TWO, "national")}, "nothing of the first is left in the connection"
