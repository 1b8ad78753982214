"""A CRM's own database, asked by one query of the operator's. PostgreSQL only; others by a foreign table in one.

Nothing can be written: the session is read-only, whatever the query says. A query that takes too long is ended by the
server, so that a slow CRM does not grow a heap of forgotten questions.
"""

from __future__ import annotations

import asyncio
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import asyncpg
import msgspec

from tenderline.config_crm import CrmSqlSettings
from tenderline.core import database_url
from tenderline.core.donor import Donor
from tenderline.core.errors import ConfigurationError
from tenderline.crm import record
from tenderline.crm.base import (
    ANSWER_BYTES_MAX,
    CrmRefusedError,
    Failure,
    LookUpBy,
    LookupFailed,
    Written,
)
from tenderline.crm.record import Record
from tenderline.crm.web import read_json

WHO: Final = "The CRM's database"
CONNECTIONS_MAX: Final = 5
CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 5.0
ROWS_MAX: Final = 10
NAMES: Final = ("identifier_value", "identifier_type", "digits")
# What a colon may stand in without naming a parameter: a text, a quoted name, a comment, a cast, a longer word.
_TOKEN: Final = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$([A-Za-z_]*)\$.*?\$\1\$|::|:([A-Za-z_]\w*)", re.DOTALL
)


def numbered(query: str) -> tuple[str, tuple[str, ...]]:
    """The query with `$1::text` where it names a parameter, and the names in order. Raises `ConfigurationError`."""
    used: list[str] = []

    def replace(found: re.Match[str]) -> str:
        name = found[2]
        if name is None:
            return found[0]
        if name not in NAMES:
            known = ", ".join(f":{one}" for one in NAMES)
            raise ConfigurationError(f"crm_sql.query names :{name[:40]}, which there is not; there are {known}.")
        if name not in used:
            used.append(name)
        return f"${used.index(name) + 1}::text"

    text = _TOKEN.sub(replace, query.strip().rstrip(";"))
    if not used:
        raise ConfigurationError("crm_sql.query asks about nobody; write WHERE phone = :identifier_value in it.")
    return text, tuple(used)


class Sql:
    """One database."""

    name = "sql"
    looks_up_by: frozenset[LookUpBy] = frozenset({"ANI", "DNIS"})
    writes = False

    def __init__(self, settings: CrmSqlSettings, *, currency: str, region: str | None) -> None:
        if settings.url is None or not settings.query:
            raise ConfigurationError("crm.kind is sql: set crm_sql.url and crm_sql.query.")
        self._url = settings.url.get_secret_value()
        self._query, self._names = numbered(settings.query)
        self._currency, self._region = currency, region
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=STATEMENT_TIMEOUT_S + 1,
                    server_settings={
                        "application_name": "tenderline",
                        "default_transaction_read_only": "on",
                        "statement_timeout": str(int(STATEMENT_TIMEOUT_S * 1000)),
                        "timezone": "UTC",
                    },
                )
            return self._pool

    async def find(self, number: str, *, by: LookUpBy = "ANI") -> Donor | None:
        """See `Crm.find`."""
        values = {"identifier_value": number, "identifier_type": by, "digits": number.lstrip("+")}
        try:
            rows = await self._rows([values[name] for name in self._names])
        except (TimeoutError, asyncpg.QueryCanceledError):
            raise LookupFailed(Failure.TIMED_OUT, f"{WHO} took longer than {STATEMENT_TIMEOUT_S:.0f} s.") from None
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
            raise LookupFailed(Failure.ACCESS_REFUSED, f"{WHO} refuses the user or password of crm_sql.url.") from None
        except asyncpg.InsufficientPrivilegeError:
            raise LookupFailed(Failure.ACCESS_REFUSED, f"{WHO} does not let this user read what is asked.") from None
        except (asyncpg.SyntaxOrAccessError, asyncpg.DataError, asyncpg.InvalidTransactionStateError) as error:
            why = f"{type(error).__name__}, {getattr(error, 'sqlstate', '')}"
            raise LookupFailed(Failure.WRONG_SHAPE, f"{WHO} cannot run crm_sql.query ({why}).") from None
        except asyncpg.PostgresConnectionError:
            raise LookupFailed(Failure.CUT_OFF, f"{WHO} closed the connection.") from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise LookupFailed(Failure.UNREACHABLE, f"{WHO} cannot be asked ({type(error).__name__}).") from None
        return self._chosen(rows, number, by)

    async def _rows(self, values: list[str]) -> list[asyncpg.Record]:
        pool = await self._opened()
        async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, connection.transaction(readonly=True):
            cursor = await connection.cursor(self._query, *values)
            return await cursor.fetch(ROWS_MAX)

    def _chosen(self, rows: list[asyncpg.Record], number: str, by: LookUpBy) -> Donor | None:
        found: list[Donor] = []
        others: LookupFailed | None = None
        for row in rows:
            told = _record(row)
            try:
                if by == "ANI" and (told.phone or told.phones):
                    record.require_number([told.phone, *(told.phones or [])], number, self._region, WHO)
            except LookupFailed as failed:
                others = failed
                continue
            found.append(record.donor(told, WHO, self._currency))
        return record.choose(record.require_one(found, others))

    async def write(self, entry: Written) -> bool:
        """See `Crm.write`."""
        del entry
        raise CrmRefusedError(f"{WHO} is only read; nothing can be written back.")

    async def check(self) -> str:
        """See `Crm.check`."""
        await self.find("+12025550100")
        return f"the {database_url.place(self._url)} answers the query"

    async def close(self) -> None:
        """See `Crm.close`."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None


def _record(row: asyncpg.Record) -> Record:
    """A row as JSON would tell it; a column that no donor has is let be."""
    fields = {name: _plain(value) for name, value in row.items() if name in Record.__struct_fields__}
    body = msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
    if len(body) > ANSWER_BYTES_MAX:
        raise LookupFailed(Failure.TOO_LARGE, f"{WHO} sends more than {ANSWER_BYTES_MAX // 1024} KB.")
    return read_json(body, Record, WHO)


def _plain(value: Any) -> object:
    match value:
        case datetime():
            return value.date().isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [str(one) for one in value if one is not None]
        case _:
            return str(value)
