"""What every kind of test may use: a server for the run, a migrated database of its own, a pool on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from support import postgres
from tenderline.store import db

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


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
