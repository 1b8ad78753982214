"""The page about searches for card data: who may see it, what it says, and that it never shows a number."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from support import edge, services
from support.planted import VISA, scan


@pytest.fixture
async def http(pool: Any, tmp_path: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool, data_dir=str(tmp_path)), headers={"Accept": "text/html"}) as made:
        yield made


@pytest.mark.parametrize(
    ("role", "may"),
    [("compliance", 200), ("engineer", 200), ("admin", 200), ("viewer", 403), ("agent", 403), ("supervisor", 403)],
)
async def test_the_page_is_for_those_who_answer_for_card_data(http, pool, tmp_path, role, may):
    done = await scan(pool, tmp_path, "files")
    await edge.sign_in(http, await edge.make_user(pool, role))
    for path in ("/scans", f"/scans/{done.report.id}", f"/scans/{done.report.id}/report.json"):
        assert (await http.get(path)).status_code == may
    assert ('href="/scans"' in (await http.get("/cases")).text) == (may == 200)


async def test_a_finding_stands_on_the_board_until_it_is_gone(http, pool, tmp_path):
    await edge.sign_in(http, await edge.make_user(pool, "compliance"))
    assert "card data found" not in (await http.get("/")).text
    (tmp_path / "<b>.log").write_text(VISA)
    done = await scan(pool, tmp_path, "files", paths=[tmp_path / "nowhere"])
    assert "card data found" in (await http.get("/")).text
    listed = (await http.get("/scans")).text
    assert "1 finding stands" in listed
    shown = (await http.get(f"/scans/{done.report.id}")).text
    assert "424242…4242" in shown
    assert "&lt;b&gt;.log" in shown
    assert "there is no such file or folder" in shown
    assert "12.10.7" in shown
    assert "signature is right" in shown
    assert VISA not in shown + listed
    file = await http.get(f"/scans/{done.report.id}/report.json")
    assert file.content == done.file.read_bytes()
    (tmp_path / "<b>.log").unlink()
    await scan(pool, tmp_path, "files", paths=[tmp_path / "nowhere"])
    assert "card data found" not in (await http.get("/")).text


async def test_a_report_that_was_changed_in_the_database_is_said_so(http, pool, tmp_path):
    await edge.sign_in(http, await edge.make_user(pool, "compliance"))
    done = await scan(pool, tmp_path, "files")
    await pool.execute("""UPDATE scan SET report = replace(report, '"findingsTotal": 0', '"findingsTotal": 1')""")
    assert "not genuine" in (await http.get(f"/scans/{done.report.id}")).text
    assert (await http.get("/scans/00000000-0000-7000-8000-000000000000")).status_code == 404
