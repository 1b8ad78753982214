"""The command line as an operator uses it: doctor, settings, users, clients, dead letters, the audit log."""

from __future__ import annotations

import json

import asyncpg
import pytest

from support import command
from support.product import open_town


@pytest.fixture
async def town(database_url, tmp_path):
    tmp_path.chmod(0o755)
    async with open_town(database_url, tmp_path) as opened:
        yield opened


async def run(town, *words, stdin=None, **environment):
    """(exit code, standard output, standard error) of a command."""
    return await command.run(*words, environment={**town.environment(town.ports[0]), **environment}, stdin=stdin)


async def test_doctor_finds_everything_well_when_it_is(town):
    code, out, _ = await run(town, "doctor", "--json")
    states = {one["part"]: one["state"] for one in json.loads(out)}
    assert code == 0, out
    well = dict.fromkeys(("database", "clock", "schema", "stripe", "twilio", "smtp"), "ok")
    assert states == {**well, "crm": "off"}


async def test_doctor_says_that_a_crm_does_not_answer_and_names_its_section(town):
    crm = {
        "TENDERLINE_CRM__KIND": "rest",
        "TENDERLINE_CRM_REST__URL": "http://127.0.0.1:1",
        "TENDERLINE_CRM_REST__CLIENT_ID": "tenderline",
        "TENDERLINE_CRM_REST__CLIENT_SECRET": "a-secret-word",
    }
    code, out, _ = await run(town, "doctor", "--json", **crm)
    (failing,) = (one for one in json.loads(out) if one["state"] == "failed")
    assert code == 1
    assert failing["part"] == "crm_rest"
    assert "cannot be reached" in failing["found"]
    assert "[crm_rest]" in failing["remedy"]
    assert "a-secret-word" not in out


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("SMTP__PORT", "1", "smtp"),
        ("TWILIO__AUTH_TOKEN", "wrong", "twilio"),
        ("STRIPE__API_KEY", "sk_test_wrong", "stripe"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x", "database"),
    ],
)
async def test_doctor_says_what_to_do_about_each_failing_part(town, variable, value, part):
    code, out, _ = await run(town, "doctor", "--json", **{f"TENDERLINE_{variable}": value})
    failing = [one for one in json.loads(out) if one["state"] == "failed"]
    assert code == 1
    assert [one["part"] for one in failing] == [part]
    assert failing[0]["remedy"]
    assert value not in out or variable == "SMTP__PORT"


async def test_a_wrong_setting_is_one_clear_line_and_no_traceback(town):
    code, out, err = await run(town, "doctor", TENDERLINE_SMTP__PROT="25")
    assert code == 2
    assert "did you mean 'smtp.port'" in err
    assert "Traceback" not in out + err


async def test_settings_are_shown_with_their_source_and_without_their_secrets(town):
    code, out, _ = await run(town, "config", "show", "--json")
    rows = {row["key"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["stripe.api_key"]["value"] == "********"
    assert rows["stripe.api_key"]["source"] == "TENDERLINE_STRIPE__API_KEY"
    assert town.sandbox.settings.auth_token not in out


async def test_users_and_clients_are_made_and_the_log_of_it_verifies(town):
    code, out, err = await run(
        town, "new", "user", "eve@example.org", "--name", "Eve", "--role", "admin", stdin=b"long enough 12\n"
    )
    assert code == 0, out + err
    code, out, _ = await run(town, "new", "client", "crm", "--scope", "outbound:read", "--json")
    assert code == 0
    assert set(json.loads(out)) == {"clientId", "clientSecret"}
    code, out, _ = await run(town, "audit", "verify", "--json")
    assert (code, json.loads(out)["rows"]) == (0, 2)
    connection = await asyncpg.connect(town.database_url)
    await connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL; UPDATE audit SET actor = 'x' WHERE number = 1")
    await connection.close()
    code, out, _ = await run(town, "audit", "verify")
    assert code == 1
    assert "row 1 was changed" in out


async def test_a_short_password_and_an_unknown_scope_are_refused_with_the_reason(town):
    code, _, err = await run(town, "new", "user", "eve@example.org", "--name", "Eve", stdin=b"short\n")
    assert code == 1
    assert "12" in err
    code, _, err = await run(town, "new", "client", "crm", "--scope", "everything")
    assert code == 1
    assert "everything" in err


async def test_what_failed_for_good_is_listed_and_replayed(town):
    connection = await asyncpg.connect(town.database_url)
    await connection.execute(
        "INSERT INTO inbox (source, event_id, event_type, urgency, body, state, error)"
        " VALUES ('stripe', 'e', 'charge.failed', 2, '{}', 'dead', 'ValueError: why')"
    )
    code, out, _ = await run(town, "replay", "--json")
    (one,) = json.loads(out)
    assert (code, one["why"]) == (0, "ValueError: why")
    code, out, _ = await run(town, "replay", "--all", "--json")
    assert json.loads(out) == {"jobs": 0, "webhooks": 1}
    assert await connection.fetchval("SELECT state FROM inbox") == "unread"
    await connection.close()


async def test_accounts_are_read_in_shown_unlocked_and_removed_and_a_pin_is_never_shown(town, tmp_path):
    file = tmp_path / "accounts.csv"
    file.write_text("\ufeffaccount,pin,name,balance\n12345,86420975,Ann,125.50\n1,86420975,Bob,1\n", encoding="utf-8")
    code, out, err = await run(town, "people", "accounts", "import", str(file))
    assert code == 0, err
    assert "2 lines: 1 new, 0 changed, 1 rejected" in out
    assert "line 3: account: 3 to 12 digits" in out
    code, shown, _ = await run(town, "people", "accounts", "show", "12345", "--json")
    known = json.loads(shown)
    assert (known["balanceMinor"], known["hasPin"], known["locked"]) == (12_550, True, False)
    code, told, _ = await run(town, "people", "accounts", "show", "12345")
    assert "$125.50" in told
    assert (await run(town, "people", "accounts", "unlock", "12345"))[0] == 0
    assert (await run(town, "people", "accounts", "remove", "12345"))[0] == 0
    code, _, err = await run(town, "people", "accounts", "show", "12345")
    assert code == 2
    assert "no account 12345" in err
    assert "86420975" not in out + shown + told + err
    _, _, err = await run(town, "people", "accounts", "import", str(tmp_path / "none.csv"))
    assert "cannot be read" in err
