"""`tenderline gate`: rules are checked with file and line, listed, changed with a reason, and decisions explained."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from support import command, postgres, world

ROW = """[[rule]]
id = "HOUSE-SUNDAYS"
kind = "hours"
why = "we do not write on Sundays"
source = "house rule of 2026"
confidence = "high"
effective_from = 2026-01-01
hours = [{ days = "mon-sat", opens = 09:00:00, closes = 18:00:00 }]
"""


@pytest.fixture
def run(database_url, tmp_path):
    """Runs a command against the test's database."""
    tmp_path.chmod(0o755)

    async def do(*words):
        return await command.run("gate", *map(str, words), environment=command.environment_of(database_url, tmp_path))

    return do


@pytest.fixture
def file(tmp_path):
    """A rule file of a house's own."""
    path = tmp_path / "house.toml"
    path.write_text(ROW)
    return path


async def test_everything_is_looked_over_and_well(run, file):
    code, out, err = await run("check", file, "--json")
    told = json.loads(out)
    assert (code, told["errors"], told["notLookedAt"]) == (0, [], None), out + err
    assert [one for one in told["looked"] if one.startswith("1 rows of")]
    assert "All is well" in (await run("check"))[1]


async def test_each_mistake_is_named_with_file_and_line(run, file, tmp_path):
    file.write_text(
        "# ours\n\n" + ROW.replace("18:00:00", "08:00:00") + ROW.replace("HOUSE", "OTHER").replace("source", "sauce")
    )
    code, out, _ = await run("check", file)
    assert code == 1
    assert f"{file}:3: rule 'HOUSE-SUNDAYS' can never open" in out
    assert f"{file}:11: rule 'OTHER-SUNDAYS'" in out
    assert "sauce" in out


@pytest.mark.parametrize("body", [b"\xff\xfe", None, b"x" * (1024 * 1024 + 1)])
async def test_a_file_that_cannot_be_read_is_refused_by_its_name(run, tmp_path, body):
    path = tmp_path / "odd.toml"
    if body is not None:
        path.write_bytes(body)
    code, _, err = await run("check", path)
    assert code == 2
    assert "odd.toml" in "".join(one for one in err if one.isalnum() or one == ".")  # a box breaks names anywhere
    assert "Traceback" not in err


async def test_a_change_that_this_version_does_not_understand_is_found_in_the_database(run, pool):
    row = """INSERT INTO rule_change (rule_id, action, rows, by_whom, why) VALUES ('X', 'set', $1, 'a', 'b')"""
    await pool.execute(row, '[{"id": "X"}]')
    code, out, _ = await run("check")
    assert code == 1
    assert "change 1: rule 'X'" in out
    assert (await run("as-shipped", "X", "--why", "what check says"))[0] == 0
    assert (await run("check"))[0] == 0


async def test_a_database_that_is_away_is_said_and_is_no_mistake_of_the_rules(tmp_path):
    environment = command.environment_of("postgresql://nobody@127.0.0.1:1/x", tmp_path)
    code, out, _ = await command.run("gate", "check", environment=environment)
    assert code == 0
    assert "were not looked at" in out


async def test_without_any_database_none_is_made_for_a_check(tmp_path):
    environment = command.environment_of("", tmp_path)
    del environment["TENDERLINE_DATABASE_URL"]
    code, out, err = await command.run("gate", "check", environment=environment)
    assert code == 0, out + err
    assert "there is no database yet" in out
    assert not (tmp_path / "postgres").exists()


async def test_rules_are_listed_for_a_place_a_purpose_and_a_channel(run):
    wanted = ("--region", "US-FL", "--purpose", "telemarketing", "--channel", "sms")
    code, out, _ = await run("rules", *wanted, "--json")
    listed = {one["id"]: one for one in json.loads(out)["rules"]}
    assert code == 0
    assert {"OWN-HOURS", "US-FL-HOURS", "US-FL-3-IN-24H"} <= set(listed)
    assert not {rule_id for rule_id in listed if rule_id.startswith("US-TX")}
    assert listed["US-FL-HOURS"]["source"].startswith("Fla. Stat.")
    text = (await run("rules", *wanted))[1]
    assert "rests on: Fla. Stat. 501.616(6)" in text
    assert "OWN-HOURS" in (await run("rules", "--shipped", "--kind", "hours"))[1]


async def test_a_word_that_no_rule_knows_is_refused_with_those_there_are(run):
    code, _, err = await run("rules", "--region", "US-XX")
    assert code == 1
    assert "no region 'US-XX'" in err


async def test_a_rule_is_set_turned_off_and_taken_back_with_reason_and_name(run, pool, file):
    code, out, err = await run("set", file, "--why", "the board decided")
    assert (code, out.strip()) == (0, "In force from now on: HOUSE-SUNDAYS."), err
    (mine,) = [one for one in json.loads((await run("rules", "--json"))[1])["rules"] if one["id"] == "HOUSE-SUNDAYS"]
    assert mine["changed"]["why"] == "the board decided"
    assert mine["changed"]["by"].startswith("cli:")
    assert (await run("off", "HOUSE-SUNDAYS", "--why", "a test"))[0] == 0
    code, _, err = await run("off", "HOUSE-SUNDAYS", "--why", "again")
    assert code == 1
    assert (await run("as-shipped", "HOUSE-SUNDAYS", "--why", "enough"))[1].endswith("it is gone.\n")
    assert (await run("off", "OWN-CAP-24H", "--why", "a test"))[0] == 0
    assert "turned off already" in (await run("off", "OWN-CAP-24H", "--why", "a test"))[2]
    assert "as it is shipped" in (await run("as-shipped", "OWN-CAP-24H", "--why", "back"))[1]
    assert "Nothing is changed" in (await run("as-shipped", "OWN-CAP-24H", "--why", "back"))[2]
    actions = [row["action"] for row in await pool.fetch("SELECT action FROM audit ORDER BY number")]
    assert actions == ["rule.set", "rule.off", "rule.as_shipped", "rule.off", "rule.as_shipped"]


async def test_nothing_is_changed_by_a_file_with_a_mistake_or_without_a_reason(run, pool, file):
    file.write_text(ROW + ROW.replace("HOUSE", "OTHER").replace("high", "sure"))
    code, _, err = await run("set", file, "--why", "a test")
    assert code == 1
    assert f"{file}:9: rule 'OTHER-SUNDAYS'" in err
    assert (await run("set", file, "--why", "  "))[0] == 2
    file.write_text("")
    assert "no rule in it" in (await run("set", file, "--why", "a test"))[2]
    assert await pool.fetchval("SELECT count(*) FROM rule_change") == 0


async def test_a_rule_that_was_set_binds_the_very_next_contact(run, pool, file):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%a").lower()
    hours = f'{{ days = "{tomorrow}", opens = 09:00:00, closes = 09:30:00 }}'
    file.write_text(ROW.replace('{ days = "mon-sat", opens = 09:00:00, closes = 18:00:00 }', hours))
    assert (await run("set", file, "--why", "a quiet day"))[0] == 0
    debtor = await world.make_debtor(pool, zone="UTC")
    assert (await world.claim(pool)).deferred == 1
    row = await world.attempt_state(pool, debtor.attempt_ids[0])
    assert "HOUSE-SUNDAYS" in json.loads(row["decision"])["rules"]
    code, out, _ = await run("explain", "--attempt", debtor.attempt_ids[0])
    assert code == 0
    assert "HOUSE-SUNDAYS" in out
    assert "house rule of 2026" in out


async def test_an_imagined_contact_is_explained_by_person_and_by_address(run, pool):
    debtor = await world.make_debtor(pool, zone="America/New_York")
    night, morning = world.ahead(2, 21, "America/New_York"), world.ahead(3, 8, "America/New_York")
    late = night - timedelta(minutes=5)
    code, out, err = await run("explain", "--person", debtor.person_id, "--channel", "sms", "--at", late.isoformat())
    assert code == 0, err
    assert f"{late:20:55:00 %a %-d %b %Y %Z} in America/New_York" in out
    asked = ("--at", night.isoformat(), "--case", debtor.case_id, "--json")
    code, out, _ = await run("explain", "--address", debtor.address, *asked)
    told = json.loads(out)
    assert (code, told["answer"], told["until"]) == (0, "defer", morning.astimezone(UTC).isoformat())
    first = told["rules"][0]
    assert (first["id"], first["says"], first["confidence"]) == ("OWN-HOURS", "defers", "high")
    assert "47 CFR" in first["source"]
    assert told["tzdata"]
    assert debtor.address not in out


async def test_a_past_instant_is_explained_and_what_is_not_kept_is_named(run, pool):
    debtor = await world.make_debtor(pool)
    code, out, _ = await run("explain", "--person", debtor.person_id, "--at", "2026-01-05T12:00Z", "--json")
    assert code == 0
    assert "where the person may be" in json.loads(out)["knownOnlyAsOfNow"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name one of"),
        (("--attempt", "00000000-0000-7000-8000-000000000000", "--channel", "sms"), "stands alone"),
        (("--attempt", "00000000-0000-7000-8000-000000000000"), "There is no contact"),
        (("--person", "me"), "should be a valid UUID"),
        (("--address", "+12125550123", "--at", "yesterday"), "no instant"),
    ],
)
async def test_a_question_that_cannot_be_asked_says_why(run, words, said):
    code, out, err = await run("explain", *words)
    assert code in (1, 2)
    assert said in " ".join(err.replace("│", " ").split()), err
    assert "Traceback" not in out + err


async def test_the_commands_say_when_the_database_was_not_migrated(server_url, tmp_path):
    async with postgres.fresh_database(server_url) as url:
        environment = command.environment_of(url, tmp_path)
        code, _, err = await command.run("gate", "rules", environment=environment)
        assert code == 1
        assert "run `tenderline migrate`" in err
        code, out, _ = await command.run("gate", "check", environment=environment)
    assert code == 0
    assert "run `tenderline migrate`" in out
