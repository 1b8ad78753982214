"""Is everything there that the product needs? Each part is asked itself, and each failing line says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tenderline.app import crm, gateways, messengers
from tenderline.config import Settings
from tenderline.core.clock import utc_now
from tenderline.core.errors import TenderlineError
from tenderline.store import db

CHECK_TIMEOUT_S = 30.0
CLOCK_SKEW_MAX_S = 30.0
SECTIONS = {"rest": "crm_rest", "sql": "crm_sql"}
"""Where a part's settings are, when they are not under its own name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    part: str
    state: str
    """ok, failed or off (not configured)."""
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


async def examine(settings: Settings) -> list[Finding]:
    """Asks every part, each for at most `CHECK_TIMEOUT_S`."""
    findings = await _database(settings)
    known_gateways = gateways(settings)
    by_channel, _ = messengers(settings)
    parts: list[Any] = [*known_gateways.values(), *by_channel.values()]
    if not known_gateways:
        findings.append(
            Finding("gateway", "off", "no payment gateway is configured", "set stripe.api_key or generic.api_url")
        )
    for channel, key in (("sms", "twilio.account_sid"), ("email", "smtp.host")):
        if channel not in {one.value for one in by_channel}:
            findings.append(Finding(channel, "off", f"no provider for {channel} is configured", f"set {key}"))
    known_by = crm(settings)
    if known_by is None:
        findings.append(Finding("crm", "off", "no CRM is configured: callers are looked up here only", "set crm.kind"))
    else:
        parts.append(known_by)
    for part in parts:
        findings.append(await _ask(SECTIONS.get(part.name, part.name), part.check))
        await part.close()
    return findings


async def _ask(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(name, "ok", await asyncio.wait_for(check(), CHECK_TIMEOUT_S))
    except TenderlineError as error:
        return Finding(name, "failed", error.detail, f"check the settings under [{name}], then run this again")
    except (OSError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        return Finding(name, "failed", reason, f"check that [{name}] names a host that is up and reachable from here")


async def _database(settings: Settings) -> list[Finding]:
    from tenderline.serve import database

    try:
        async with database(settings) as url, db.open_pool(url, size_max=1) as pool:
            there: datetime = await pool.fetchval("SELECT clock_timestamp()")
            version = await pool.fetchval("SHOW server_version")
            found = [Finding("database", "ok", f"PostgreSQL {version} answers"), _clock(there)]
            try:
                await db.require_current_schema(pool)
            except TenderlineError as error:
                found.append(Finding("schema", "failed", error.detail, "run `tenderline migrate`"))
            else:
                found.append(Finding("schema", "ok", "every migration is applied"))
            return found
    except TenderlineError as error:
        return [Finding("database", "failed", error.detail, "check database_url, and that the server runs")]


def _clock(there: datetime) -> Finding:
    skew_s = abs((utc_now() - there).total_seconds())
    if skew_s > CLOCK_SKEW_MAX_S:
        return Finding("clock", "failed", f"this clock and the database's differ by {skew_s:.0f} s", "run NTP on both")
    return Finding("clock", "ok", f"within {max(skew_s, 0.001):.3f} s of the database's")
