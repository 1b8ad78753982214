"""What every kind of test may use: a server for the run, a migrated database of its own, a pool on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from support import postgres
from tenderline.store import db

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

TOGETHER: Final = {
    "tests/integration/test_bench_smoke.py": "bench",
    **dict.fromkeys(
        (
            "tests/call/test_baresip.py",
            "tests/call/test_browser_agent.py",
            "tests/call/test_browser_monitor.py",
            "tests/call/test_canary.py",
            "tests/call/test_card_callers.py",
            "tests/call/test_edge.py",
            "tests/call/test_many_calls.py",
            "tests/call/test_sip_edge.py",
            "tests/browser/test_whole_story.py",
            "tests/chaos/test_busy_minute.py",
        ),
        "many calls or many programs at once",
    ),
    "tests/browser": "browsers, and programs that are killed",
    "tests/chaos": "browsers, and programs that are killed",
}
"""What stays on one worker, one after the other, by file or by folder: for what it makes once, or because it fills the
machine alone, and a call beside another such one loses packets."""

if missing := [one for one in TOGETHER if not (Path(__file__).parents[1] / one).exists()]:
    raise pytest.UsageError(f"TOGETHER of tests/conftest.py names what is not there (any more): {', '.join(missing)}")


class Scheduling(LoadScopeScheduling):
    """Every test goes to whichever worker is free, but for those that stay together. (By their files: the marks of
    pytest-xdist 3.8 do nothing under pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return TOGETHER.get(path) or TOGETHER.get(path.rpartition("/")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """What `-n` shares the tests by."""
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A superuser's URL of the run's PostgreSQL."""
    with postgres.server() as url:
        yield url


@pytest.fixture
async def database_url(server_url: str) -> AsyncIterator[str]:
    """A database of this version's schema, for one test alone."""
    async with postgres.fresh_database(server_url, db.migrate) as url:
        yield url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    """Connections to the test's database."""
    async with db.open_pool(database_url, size_max=10) as opened:
        yield opened
