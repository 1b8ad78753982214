"""The server that all processes of a test run share: one for all, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import TESTS_FOLDER, WAIT_S, eventually, open_folder, postgres_processes, sql
from tenderline.store.embedded import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


TEST_OF_A_RUN = """
import asyncio, os
import pytest
from support import postgres

async def prepare(url):
    connection = await postgres._connect(url)
    await connection.execute("CREATE TABLE prepared AS SELECT 7 AS n")
    await connection.close()

@pytest.fixture(scope="session")
def server():
    with postgres.server() as url:
        yield url

@pytest.mark.parametrize("number", range(8))
async def test_has_a_database_of_its_own(server, number):
    async with postgres.fresh_database(server, prepare) as url:
        connection = await postgres._connect(url)
        assert await connection.fetchval("SELECT n FROM prepared") == 7
        await connection.execute("CREATE TABLE mine (n int)")
        started = await connection.fetchval("SELECT pg_postmaster_start_time()")
        templates = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname LIKE '%template\\\\_%'")
        await connection.close()
    with open(os.environ["OUT"], "a") as out:
        out.write(f"{os.environ['PYTEST_XDIST_WORKER']} {server} {started} {templates}\\n")
"""


def run_with_two_workers(folder: Path, **environment: str) -> list[list[str]]:
    """Runs a small test file with pytest-xdist; returns (worker, server URL, server start, templates) of each test."""
    (folder / "test_run.py").write_text(TEST_OF_A_RUN)
    (folder / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = auto\npythonpath = {TESTS_FOLDER}\n")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TENDERLINE_"))}
    ours |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OUT": str(folder / "out"), "TMPDIR": str(folder)}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "xdist.plugin",
            "-p",
            "pytest_asyncio.plugin",
            "-n",
            "2",
            "test_run.py",
        ],
        cwd=folder,
        env={
            **ours,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "OUT": str(folder / "out"),
            "TMPDIR": str(folder),
            **environment,
        },
        capture_output=True,
        encoding="utf-8",
        timeout=3 * WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split(" ", 2) for line in (folder / "out").read_text().splitlines()]


def test_all_workers_of_a_test_run_share_one_server_that_ends_with_them(folder: Path) -> None:
    seen = run_with_two_workers(folder)
    assert len(seen) == 8
    assert {worker for worker, _, _ in seen} == {"gw0", "gw1"}
    assert len({(url, server) for _, url, server in seen}) == 1
    eventually(lambda: not postgres_processes(folder), "the server has ended")
    eventually(lambda: not list(folder.glob("tenderline-tests-*")), "its folder has gone")


def test_a_test_run_on_a_given_server_leaves_nothing_behind(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        seen = run_with_two_workers(folder, TENDERLINE_TEST_DATABASE_URL=postgres.url)
        assert {url for _, url, _ in seen} == {postgres.url}
        left = "SELECT count(*) FROM pg_database WHERE datname LIKE 't\\_%'"
        eventually(lambda: sql(postgres.url, left) == 0, "its databases have gone")
        eventually(lambda: not list(folder.glob("tenderline-tests-*")), "its folder has gone")
