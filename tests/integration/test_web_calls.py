"""The screens of the telephone: calls, one call with its recording, lines and flows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from support import edge, services
from tenderline.core import recording_file
from tenderline.core.ids import uuid7
from tenderline.store import conversations, lines, recordings, voice_nodes
from tenderline.store.recording_store import RecordingStore
from tenderline.store.recordings import Mark

AT = datetime(2026, 11, 20, 15, tzinfo=UTC)


@pytest.fixture
def running(pool: Any, tmp_path: Any) -> Any:
    return services.make(pool, data_dir=str(tmp_path))


@pytest.fixture
async def http(running: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(running, headers={"Accept": "text/html"}) as made:
        yield made


async def a_call(pool, running, *, sensitive=False, ended=True, caller="+12025550100"):
    node, call, tape = uuid7(), uuid7(), uuid7()
    key = recording_file.new_key()
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, node, "192.0.2.1:5060", 150)
        started = conversations.Started(
            call, node, "inbound", caller, "+18005550123", "spring <b>", "welcome", None, "B, unchecked", AT
        )
        await conversations.start(connection, started)
        await conversations.segment(connection, call, 1, "ivr", "", AT)
        await conversations.step_entered(connection, call, 1, "greeting", "say", AT)
        await conversations.step_left(connection, call, 1, "next", AT + timedelta(seconds=3))
        await conversations.segment(connection, call, 2, "agent", "anna", AT + timedelta(seconds=10))
        master = running.key_for("recordings")
        sealed = recording_file.seal_key(key, master, tape)
        await recordings.begin(connection, tape, call, sensitive=sensitive, sealed_key=sealed, path="a/b.tlr", at=AT)
        marks = [Mark(5_000, True), Mark(15_000, False)]
        await recordings.stored(connection, tape, duration_ms=20_000, marks=marks, keep=timedelta(days=90))
        if ended:
            await conversations.ended(connection, call, AT + timedelta(seconds=20), by="caller", why="hung up")
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    store = RecordingStore(running.settings)
    store.spool.mkdir(parents=True)
    file = store.spool / "x"
    file.write_bytes(
        recording_file.header(tape) + recording_file.chunk(AESGCM(key), tape, 0, b"\x01" * 800, b"\x02" * 800)
    )
    await store.keep(file, "a/b.tlr", sensitive=sensitive)
    return call, tape


async def test_a_call_shows_its_parts_its_way_and_its_silences(http, pool, running):
    call, tape = await a_call(pool, running)
    await edge.sign_in(http, await edge.make_user(pool))
    board = (await http.get("/calls")).text
    assert "+12025550100" in board
    assert "spring &lt;b&gt;" in board
    assert "192.0.2.1:5060" in board
    shown = (await http.get(f"/calls/{call}")).text
    assert "Agent: anna, 0:10" in shown
    assert "B, unchecked" in shown
    assert "Silent on purpose from 0:05, for 0:10." in shown
    assert 'id="node-greeting" class="node step-say start lit"' in shown
    assert f'src="/recordings/{tape}"' in shown
    assert (await http.get(f"/calls/{call}/live")).status_code == 200
    assert (await http.get("/calls/live")).status_code == 200
    assert (await http.get(f"/calls/{uuid7()}")).status_code == 404


async def test_listening_is_audited_and_gives_both_sides(http, pool, running):
    _, tape = await a_call(pool, running)
    email = await edge.make_user(pool)
    await edge.sign_in(http, email)
    sound = await http.get(f"/recordings/{tape}")
    assert sound.headers["content-type"] == "audio/wav"
    assert sound.content[:4] == b"RIFF"
    assert sound.content[-4:] == b"\x01\x02\x01\x02", "the caller left, everybody else right"
    row = await pool.fetchrow("SELECT actor, subject FROM audit WHERE action = 'recording.played'")
    assert tuple(row) == (email, f"recording:{tape}")


LISTENERS = {"supervisor": {False}, "compliance": {False, True}, "admin": {False, True}}


@pytest.mark.parametrize("sensitive", [False, True])
@pytest.mark.parametrize("role", ["viewer", "agent", "engineer", "supervisor", "compliance", "admin"])
async def test_who_may_listen(http, pool, running, role, sensitive):
    await edge.sign_in(http, await edge.make_user(pool, role=role))
    _, tape = await a_call(pool, running, sensitive=sensitive)
    expected = 200 if sensitive in LISTENERS.get(role, set()) else 403
    assert (await http.get(f"/recordings/{tape}")).status_code == expected


async def test_lines_are_set_and_removed_and_both_are_audited(http, pool):
    await edge.sign_in(http, await edge.make_user(pool, role="engineer"))
    token = edge.csrf_of((await http.get("/lines")).text)
    form = {"csrf_token": token, "number": "+1 800 555 0123", "campaign": "Spring", "flow": "welcome",
            "language": "en", "currency": "usd", "fund": "", "record": "yes"}  # fmt: skip
    assert (await http.post("/lines", data=form)).status_code == 303
    async with pool.acquire() as connection:
        (line,) = await lines.all_lines(connection)
    assert (line.number, line.currency, line.record, line.fund) == ("+18005550123", "USD", True, None)
    assert "+18005550123" in (await http.get("/lines")).text
    wrong = {"number": "<x>", "flow": "nothing", "language": "??", "currency": "ZZZ", "campaign": ""}
    for key, value in wrong.items():
        assert (await http.post("/lines", data={**form, key: value})).status_code == 422, key
    removed = {"csrf_token": token, "number": "+18005550123"}
    assert (await http.post("/lines/remove", data=removed)).status_code == 303
    assert (await http.post("/lines/remove", data=removed)).status_code == 404
    actions = [row["action"] for row in await pool.fetch("SELECT action FROM audit ORDER BY number")]
    assert [one for one in actions if one.startswith("line")] == ["line_set", "line_removed"]


async def test_flows_are_drawn_and_a_faulty_one_is_named(http, pool):
    await edge.sign_in(http, await edge.make_user(pool))
    shown = (await http.get("/flows/welcome")).text
    assert 'id="node-greeting"' in shown
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "odd", 'name = "odd"\ntitle = "<b>"\nstart = "a"\n', by="test")
    odd = (await http.get("/flows/odd")).text
    assert "notice bad" in odd
    assert "<b>" not in odd
    assert (await http.get("/flows/none")).status_code == 404


async def test_a_flow_has_a_new_version_only_when_its_text_is_new(pool):
    async with pool.acquire() as connection, connection.transaction():
        assert await lines.put_flow(connection, "f", "one", by="x") == 1
        assert await lines.put_flow(connection, "f", "one", by="x") == 1
        assert await lines.put_flow(connection, "f", "two", by="x") == 2
        found = await lines.flow_version(connection, "f", 1)
    assert found is not None
    assert found.content == "one"


async def test_a_node_is_drained_once(pool):
    node = uuid7()
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, node, "192.0.2.1:5060", 10)
        assert await voice_nodes.drain(connection, node) is True
        assert await voice_nodes.drain(connection, node) is False
        assert await voice_nodes.renew(connection, node, 3) == "draining"
        (shown,) = await voice_nodes.all_known(connection)
        assert (shown.state, shown.calls) == ("draining", 3)
        await voice_nodes.leave(connection, node)
        assert await voice_nodes.renew(connection, node, 0) is None
