"""The stage of the demo: the sandbox as a child process, the product beside it, and hands to move things with."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tenderline import config
from tenderline.compliance.facts import PersonFacts
from tenderline.core import phone
from tenderline.core.errors import TenderlineError
from tenderline.demo.daytime import is_hour_of
from tenderline.serve import require_free, run_everything
from tenderline.store import oauth, users

PATIENCE_S = 60.0
LOOK_AGAIN_S = 0.05
START_TIMEOUT_S = 120.0
EMAIL = "demo@example.org"
PASSWORD = "tenderline demo"  # noqa: S105  # of a database that lives as long as the demo
ORGANISATION = "Riverside Food Bank"

# Numbers that national regulators keep free for fiction, so that no demo can ever reach anybody.
# Wherever the sun stands it is day in one of these places, and night in another; also on Australia's holidays.
_PLACES = (("America/New_York", "+1202555{:04d}", 100), ("Europe/London", "+442079460{:03d}", 100),
           ("Australia/Sydney", "+6125550{:04d}", 1200), ("Pacific/Guam", "+1671555{:04d}", 100))  # fmt: skip
_AHEAD = timedelta(minutes=10)
"""For so long it stays what it is: day, or night."""


class BrokenPromiseError(TenderlineError):
    """Something that the demo promised did not happen."""

    code = "demo.broken_promise"


class Numbers:
    """Fictional telephone numbers where it is day now, or night."""

    def __init__(self) -> None:
        self._given = 0

    def _next(self, *, by_day: bool) -> tuple[str, str]:
        now = datetime.now(UTC)
        for zone, pattern, first in _PLACES:
            number = pattern.format(first + self._given + 1)
            person = PersonFacts(zones=phone.zones(number), regions=phone.regions(number))
            if all(is_hour_of(person, now + later) is by_day for later in (timedelta(), _AHEAD)):
                self._given += 1
                return zone, number
        raise BrokenPromiseError("It is neither day nor night anywhere.")

    def by_day(self) -> tuple[str, str]:
        """(zone, number) of somebody who may be contacted now."""
        return self._next(by_day=True)

    def by_night(self) -> tuple[str, str]:
        """(zone, number) of somebody who may not."""
        return self._next(by_day=False)


def free_port() -> int:
    """A port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stage:
    """Both sides, running."""

    product_url: str
    sandbox_url: str
    database_url: str
    http: aiohttp.ClientSession
    client_id: str
    client_secret: str
    data_dir: Path
    numbers: Numbers
    webhook_secret: str
    _token: str | None = None

    async def api(self, path: str, **query: Any) -> Any:
        """GET from the product's JSON API with a token."""
        if self._token is None:
            form = {
                "grant_type": "client_credentials",
                "client_id": self.client_id,
                "client_secret": self.client_secret,
            }
            async with self.http.post(f"{self.product_url}/oauth/token", data=form) as response:
                response.raise_for_status()
                self._token = (await response.json())["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self.http.get(f"{self.product_url}{path}", params=query, headers=headers) as response:
            response.raise_for_status()
            return await response.json()

    async def control(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """A call to the sandbox's control interface."""
        async with self.http.request(method, f"{self.sandbox_url}{path}", json=body, params=query) as response:
            text = await response.text()
            if response.status >= 400:
                raise BrokenPromiseError(f"The sandbox answered {response.status} to {method} {path}: {text[:300]}")
            return json.loads(text) if text else None

    async def until(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:
        """Looks until there is something to see; `BrokenPromiseError` says what was waited for."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            found = await look()
            if found:
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise BrokenPromiseError(f"Waited {PATIENCE_S:.0f} s in vain for: {what}")
            await asyncio.sleep(LOOK_AGAIN_S)


@dataclass(frozen=True)
class _Shared:
    """What both sides know of each other, made anew for every demo."""

    account_sid: str = field(default_factory=lambda: f"AC{secrets.token_hex(16)}")
    auth_token: str = field(default_factory=lambda: secrets.token_hex(16))
    api_key: str = field(default_factory=lambda: f"sk_test_{secrets.token_hex(12)}")
    webhook_secret: str = field(default_factory=lambda: f"whsec_{secrets.token_hex(16)}")
    crm_secret: str = field(default_factory=lambda: secrets.token_hex(16))


def _environment(
    product_port: int, data_dir: Path, shared: _Shared, sandbox: dict[str, Any], zone: str
) -> dict[str, str]:
    ours = {
        "ORGANISATION": ORGANISATION,
        "PUBLIC_URL": f"http://127.0.0.1:{product_port}",
        "DATA_DIR": str(data_dir),
        "LOG_LEVEL": "error",
        "API__BIND_PORT": str(product_port),
        "API__REQUESTS_PER_MINUTE_MAX": "10000",
        "STRIPE__API_KEY": shared.api_key,
        "STRIPE__API_URL": sandbox["url"],
        "STRIPE__WEBHOOK_SECRETS": shared.webhook_secret,
        "TWILIO__ACCOUNT_SID": shared.account_sid,
        "TWILIO__AUTH_TOKEN": shared.auth_token,
        "TWILIO__FROM_NUMBER": sandbox["carrier_numbers"][0],
        "TWILIO__API_URL": sandbox["url"],
        "TWILIO__TIMEOUT_S": "5",
        "SMTP__HOST": "127.0.0.1",
        "SMTP__PORT": str(sandbox["smtp_port"]),
        "SMTP__CA_FILE": sandbox["smtp_certificate_path"],
        "SMTP__FROM_ADDRESS": "giving@riverside.example",
        "CRM__KIND": "rest",
        "CRM_REST__URL": f"{sandbox['url']}/crm",
        "CRM_REST__CLIENT_ID": sandbox["crm_client_id"],
        "CRM_REST__CLIENT_SECRET": shared.crm_secret,
        "COMPLIANCE__DEFAULT_ZONE": zone,
        "RECOVERY__MERGE_HOLD_S": "1",
        "WORKER__TICK_S": "0.5",
        "WORKER__LEASE_S": "5",
        "WORKER__DOUBT_SETTLE_S": "2",
        "WORKER__RECEIPT_POLL_AFTER_S": "5",
    }
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(config.ENV_PREFIX)}
    return inherited | {f"{config.ENV_PREFIX}{key}": value for key, value in ours.items()}


@asynccontextmanager
async def _sandbox(product_url: str, shared: _Shared) -> AsyncIterator[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tenderline_sandbox", "--port", "0", "--smtp-port", "0", "--smtp-starttls",
        "--product-url", product_url, "--account-sid", shared.account_sid, "--auth-token", shared.auth_token,
        "--api-key", shared.api_key, "--webhook-secret", shared.webhook_secret,
        "--crm-client-secret", shared.crm_secret, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
        if not line:
            raise BrokenPromiseError("The sandbox did not start; is the extra installed (tenderline[sandbox])?")
        yield json.loads(line)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


def _throw_away_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tenderline-demo-"))
    folder.chmod(0o755)  # our own folder: the database's user has to pass through it
    return folder


@asynccontextmanager
async def open_stage(port: int) -> AsyncIterator[Stage]:
    """Starts both sides on loopback, on an empty database that is thrown away afterwards."""
    product_port = port or free_port()
    require_free("127.0.0.1", product_port, remedy="choose another with --port")
    product_url = f"http://127.0.0.1:{product_port}"
    data_dir = _throw_away_folder()
    numbers, shared = Numbers(), _Shared()
    stop = asyncio.Event()
    try:
        async with _sandbox(product_url, shared) as sandbox, aiohttp.ClientSession() as http:
            environment = _environment(product_port, data_dir, shared, sandbox, numbers.by_day()[0])
            settings = config.load({}, environment).settings
            opened: asyncio.Future[Stage] = asyncio.get_running_loop().create_future()
            made: list[Stage] = []

            async def prepare(database_url: str) -> None:
                client = await _people(database_url)
                sandbox_url, secret = sandbox["url"], shared.webhook_secret
                made.append(Stage(product_url, sandbox_url, database_url, http, *client, data_dir, numbers, secret))

            running = asyncio.create_task(
                run_everything(
                    settings,
                    stop=stop,
                    environment=environment,
                    prepare=prepare,
                    ready=lambda: opened.set_result(made[0]),
                )
            )
            try:
                await asyncio.wait((running, opened), return_when=asyncio.FIRST_COMPLETED, timeout=START_TIMEOUT_S)
                if running.done():
                    running.result()
                if not opened.done():
                    raise BrokenPromiseError(f"The product did not answer within {START_TIMEOUT_S:.0f} s.")
                yield opened.result()
            finally:
                stop.set()
                await running
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


async def _people(database_url: str) -> tuple[str, str]:
    connection = await asyncpg.connect(database_url)
    try:
        await users.create_user(connection, email=EMAIL, name="Demo Admin", password=PASSWORD, role="admin")
        return await oauth.create_client(connection, name="demo", scopes=["outbound:read", "outbound:write"])
    finally:
        await connection.close()
