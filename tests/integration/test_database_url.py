"""A database that cannot be reached: one line that names it, says why and what to do, and holds no password."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import pytest

from support import postgres
from tenderline.core.errors import ConfigurationError, DatabaseUnavailableError, TenderlineError
from tenderline.store import db

PASSWORD = "hunter2-of-the-tests"


async def refusal_of(url: str) -> TenderlineError:
    with pytest.raises(TenderlineError) as by_migrate:
        await db.migrate(url)
    with pytest.raises(TenderlineError) as by_pool:
        async with db.open_pool(url):
            pass
    assert str(by_migrate.value) == str(by_pool.value)
    assert PASSWORD not in str(by_pool.value)
    assert "\n" not in str(by_pool.value)
    return by_pool.value


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        (f"postgresql://ann:{PASSWORD}@127.0.0.1:1/books", DatabaseUnavailableError, "'books' on 127.0.0.1:1 does not"),
        (f"postgresql://ann:{PASSWORD}@no.such.host.invalid/books", DatabaseUnavailableError, "no.such.host.invalid"),
        (f"postgresql://ann:{PASSWORD}@/books?host=/nowhere", DatabaseUnavailableError, "'books' on /nowhere"),
        (f"postgresql://ann:{PASSWORD}@db/books?sslmode=odd", ConfigurationError, "sslmode"),
        (f"postgresql://ann:{PASSWORD}@db/books?sslmode", ConfigurationError, "cannot be read"),
        (f"postgresql://ann:{PASSWORD}@db:{PASSWORD}/books", ConfigurationError, "database_url"),
        (f"mysql://ann:{PASSWORD}@db/books", ConfigurationError, "database_url"),
    ],
)
async def test_a_database_that_cannot_be_asked_is_named_with_the_reason(url, kind, said):
    refused = await refusal_of(url)
    assert type(refused) is kind
    assert said in str(refused)
    assert "database_url" in str(refused)


async def test_a_database_that_does_not_exist_is_named(server_url):
    refused = await refusal_of(postgres.with_database(server_url, "never_made"))
    assert "'never_made'" in str(refused)
    assert "does not exist; create it" in str(refused)


def test_an_error_of_several_lines_becomes_one():
    error = asyncpg.CannotConnectNowError("it is starting up\nDETAIL:  not yet consistent")
    assert "\n" not in str(db._not_connected("postgresql://ann@db/books", error))


async def test_a_command_says_it_in_one_line_without_a_traceback():
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TENDERLINE_")}
    for url, code in ((f"mysql://ann:{PASSWORD}@db/x", 2), (f"postgresql://ann:{PASSWORD}@127.0.0.1:1/x", 1)):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tenderline", "migrate", cwd="/", env={**environment, "TENDERLINE_DATABASE_URL": url},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode == code
        assert not out
        assert len(err.splitlines()) == 1
        assert err.startswith(b"tenderline: ")
        assert PASSWORD.encode() not in err
