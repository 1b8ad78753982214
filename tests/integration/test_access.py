"""Who gets in, changed by an operator: users and API clients by command, and what ends at once when they change."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from support import command, edge, postgres, services
from tenderline.store import credentials, oauth, users
from tenderline.store.users import LastAdminError

FORM = {"grant_type": "client_credentials"}
NEW_PASSWORD = "another four random words"


@pytest.fixture
def run(database_url, tmp_path):
    """Runs a command against the test's database."""

    async def do(*words: str, stdin: str | None = None) -> tuple[int, str, str]:
        environment = command.environment_of(database_url, tmp_path)
        return await command.run(*words, environment=environment, stdin=None if stdin is None else stdin.encode())

    return do


@pytest.fixture
async def http(pool):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as made:
        yield made


async def audited(pool: Any) -> list[tuple[str, dict[str, Any]]]:
    rows = await pool.fetch("SELECT actor, action, subject, data::text FROM audit WHERE actor LIKE 'cli:%'")
    assert all(row["subject"].startswith(("user:", "client:client-")) for row in rows)
    return [(row["action"], json.loads(row["data"])) for row in rows]


async def is_in(http: Any) -> bool:
    return (await http.get("/")).status_code == 200


async def test_users_are_listed_shut_out_and_let_in_again(run, pool, http):
    await edge.make_user(pool, "admin")
    agent = await edge.make_user(pool, "agent")
    await edge.sign_in(http, agent)
    assert await is_in(http)
    assert (await run("user", "disable", agent.upper()))[0] == 0
    assert not await is_in(http)
    code, out, _ = await run("user", "list", "--json")
    listed = {one["email"]: one for one in json.loads(out)}
    assert code == 0
    assert {email: one["role"] for email, one in listed.items()} == {"admin@example.org": "admin", agent: "agent"}
    assert listed[agent]["disabledAt"]
    assert "disabled since" in (await run("user", "list"))[1]
    code, _, err = await run("user", "disable", agent)
    assert code == 1
    assert "who can sign in; `tenderline user list`" in err
    assert (await run("user", "enable", agent))[0] == 0
    assert not await is_in(http), "the sign-in from before stays ended"
    assert (await edge.sign_in(http, agent)).status_code == 303
    assert await audited(pool) == [("user.disable", {}), ("user.enable", {})]


async def test_another_role_ends_her_sign_ins(run, pool, http):
    viewer = await edge.make_user(pool, "viewer")
    await edge.sign_in(http, viewer)
    code, _, err = await run("user", "set-role", viewer, "queen")
    assert code == 1
    assert "known are viewer" in err
    assert await is_in(http)
    assert (await run("user", "set-role", viewer, "supervisor"))[0] == 0
    assert not await is_in(http)
    await edge.sign_in(http, viewer)
    assert "supervisor" in (await http.get("/")).text
    assert await audited(pool) == [("user.set_role", {"role": "supervisor"})]


async def test_a_new_password_comes_from_standard_input_and_stands_nowhere(run, pool, http):
    email = await edge.make_user(pool)
    await edge.sign_in(http, email)
    code, out, err = await run("user", "set-password", email, stdin=NEW_PASSWORD + "\n")
    assert code == 0, err
    assert not await is_in(http)
    assert (await edge.sign_in(http, email)).status_code == 401
    assert (await edge.sign_in(http, email, NEW_PASSWORD)).status_code == 303
    assert await audited(pool) == [("user.set_password", {})]
    assert NEW_PASSWORD not in out + err


@pytest.mark.parametrize(
    "words", [("new", "user", "x@example.org", "--name", "X"), ("user", "set-password", "x@y.org")]
)
async def test_a_password_is_no_argument(run, words):
    code, _, err = await run(*words, "--password", "four random words here", stdin="four random words here\n")
    assert code == 2
    assert "No such option" in err


@pytest.mark.parametrize("stdin", [b"", b"short\n", b"\xff\xfe not a text, but long\n"])
async def test_a_password_that_is_none_is_refused_in_one_line(database_url, tmp_path, pool, stdin):
    email = await edge.make_user(pool)
    environment = command.environment_of(database_url, tmp_path)
    code, _, err = await command.run("user", "set-password", email, environment=environment, stdin=stdin)
    assert code in (1, 2)
    assert "Traceback" not in err
    assert "12 characters" in err or "not UTF-8" in err
    assert await audited(pool) == []


async def test_the_last_administrator_stays(run, pool):
    first = await edge.make_user(pool, "admin")
    for words in (("disable", first), ("set-role", first, "viewer")):
        code, _, err = await run("user", *words)
        assert code == 1
        assert "last administrator who can sign in; make another one first" in err
    assert (await run("user", "set-role", first, "admin"))[0] == 0
    second = await edge.make_user(pool, "admin", "second@example.org")
    assert (await run("user", "disable", second))[0] == 0
    assert (await run("user", "disable", first))[0] == 1, "one who is disabled does not count"


@pytest.mark.parametrize(
    "how", [users.disable_user, lambda connection, email: users.set_role(connection, email, "viewer")]
)
async def test_two_administrators_cannot_take_each_other_away(pool, how):
    emails = [await edge.make_user(pool, "admin", f"{name}@example.org") for name in ("a", "b")]

    async def take_away(email):
        async with pool.acquire() as connection, connection.transaction():
            await how(connection, email)
            await asyncio.sleep(0.05)  # so that the other one decides meanwhile

    results = await asyncio.gather(*map(take_away, emails), return_exceptions=True)
    assert sorted(type(one) for one in results if one is not None) == [LastAdminError]
    left = "SELECT count(*) FROM app_user WHERE role = 'admin' AND disabled_at IS NULL"
    assert await pool.fetchval(left) == 1


@pytest.mark.parametrize("happens", ["set_password", "disable_then_enable"])
async def test_a_sign_in_that_was_being_checked_meanwhile_does_not_get_in(pool, http, monkeypatch, happens):
    email = await edge.make_user(pool)
    checked = credentials.matches

    async def slowly(stored, given):
        fits = await checked(stored, given)
        async with pool.acquire() as connection, connection.transaction():
            if happens == "set_password":
                await users.set_password(connection, email, NEW_PASSWORD)
            else:
                await users.disable_user(connection, email)
        return fits

    monkeypatch.setattr(credentials, "matches", slowly)
    assert (await edge.sign_in(http, email)).status_code == 401
    if happens != "set_password":
        async with pool.acquire() as connection, connection.transaction():
            await users.enable_user(connection, email)
    assert not await is_in(http)
    actions = [row["action"] for row in await pool.fetch("SELECT action FROM audit ORDER BY number")]
    assert actions == ["sign_in.refused"]


async def a_token(http: Any, client_id: str, secret: str) -> dict[str, str] | None:
    answer = await http.post("/oauth/token", data={**FORM, "client_id": client_id, "client_secret": secret})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"} if answer.status_code == 200 else None


async def may_read(http: Any, header: dict[str, str]) -> bool:
    return (await http.get("/api/v2/recovery/cases", headers=header)).status_code == 200


async def test_clients_are_listed_shut_out_and_let_in_again(run, pool, http):
    client_id, secret = await edge.make_client(pool)
    header = await a_token(http, client_id, secret)
    assert header
    assert await may_read(http, header)
    assert (await run("client", "disable", client_id))[0] == 0
    assert not await may_read(http, header)
    assert await a_token(http, client_id, secret) is None
    code, out, _ = await run("client", "list", "--json")
    (listed,) = json.loads(out)
    assert code == 0
    assert (listed["clientId"], listed["scopes"]) == (client_id, ["outbound:read"])
    assert listed["disabledAt"]
    assert secret not in out
    assert client_id in (await run("client", "list"))[1]
    assert (await run("client", "disable", client_id))[0] == 1
    assert (await run("client", "enable", client_id))[0] == 0
    assert not await may_read(http, header), "its tokens from before stay ended"
    assert await a_token(http, client_id, secret)
    assert await audited(pool) == [("client.disable", {}), ("client.enable", {})]


async def test_a_new_secret_ends_the_old_one_and_every_token(run, pool, http):
    client_id, secret = await edge.make_client(pool)
    header = await a_token(http, client_id, secret)
    assert header
    code, out, err = await run("client", "rotate-secret", client_id, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["clientId"] == client_id
    assert not await may_read(http, header)
    assert await a_token(http, client_id, secret) is None
    assert await a_token(http, client_id, told["clientSecret"])
    assert await audited(pool) == [("client.rotate_secret", {})]
    code, _, err = await run("client", "rotate-secret", "client-nobody")
    assert code == 1
    assert "There is no client 'client-nobody'" in err


async def test_a_token_that_was_being_asked_for_with_the_old_secret_is_not_issued(pool, http, monkeypatch):
    client_id, secret = await edge.make_client(pool)
    checked = credentials.matches

    async def slowly(stored, given):
        fits = await checked(stored, given)
        async with pool.acquire() as connection, connection.transaction():
            await oauth.rotate_secret(connection, client_id)
        return fits

    monkeypatch.setattr(credentials, "matches", slowly)
    answer = await http.post("/oauth/token", data={**FORM, "client_id": client_id, "client_secret": secret})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert await pool.fetchval("SELECT count(*) FROM oauth_token") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("new", "user", "x@example.org", "--name", "X"),
        ("new", "client", "crm", "--scope", "outbound:read"),
        ("user", "list"),
        ("client", "list"),
        ("replay",),
        ("audit", "verify"),
    ],
    ids=" ".join,
)
async def test_a_database_that_was_not_migrated_is_one_line_with_the_next_step(server_url, tmp_path, words):
    async with postgres.fresh_database(server_url) as url:
        environment = command.environment_of(url, tmp_path)
        code, out, err = await command.run(*words, environment=environment, stdin=b"four random words here\n")
    assert code == 1
    assert "run `tenderline migrate`" in err
    assert len(err.splitlines()) == 1, out + err
