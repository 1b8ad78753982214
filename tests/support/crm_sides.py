"""The other side of each kind of CRM: small servers that speak the vendor's published interface, with moods."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiohttp import web
from pydantic import SecretStr

from support.crm_cloud_sides import DynamicsSide, SalesforceSide
from support.crm_side import NAME, SECRET, WITH, Side, serve
from tenderline.config import CiviCrmSettings, CrmRestSettings, CrmSqlSettings
from tenderline.crm.base import Crm
from tenderline.crm.civicrm import CiviCrm
from tenderline.crm.rest import Rest
from tenderline.crm.sql import Sql
from tenderline_sandbox.crm import DonorCrm
from tenderline_sandbox.settings import SandboxSettings


@dataclass
class RestSide(Side):
    async def start(self, stack: AsyncExitStack) -> None:
        self.server = DonorCrm(SandboxSettings(crm_client_secret=SECRET))
        self.url = f"{await serve(stack, self.server.routes())}/crm"
        self.entries = self.server.entries

    def crm(self, *, url: str | None = None, secret: str = SECRET) -> Crm:
        settings = CrmRestSettings(url=url or self.url, client_id="tenderline", client_secret=SecretStr(secret))
        return Rest(settings, **WITH)

    def set_mood(self, mood: str) -> None:
        self.server.set_mood(mood)

    @property  # type: ignore[override]
    def tokens_given(self) -> int:
        return self.server.tokens_given if hasattr(self, "server") else 0

    @tokens_given.setter
    def tokens_given(self, value: int) -> None: ...


@dataclass
class CiviSide(Side):
    """APIv4: POST /civicrm/ajax/api4/Entity/action, form field `params`, header X-Civi-Auth."""

    has_tokens: bool = False
    contacts: dict[int, dict[str, Any]] = field(default_factory=dict)
    name_field, email_field = "name", "email"

    async def start(self, stack: AsyncExitStack) -> None:
        self.contacts = {
            7: {
                "name": NAME,
                "phone": "(202) 555-0161",
                "gifts": [("2026-09-01", "2500.00"), ("2024-01-05", "10000.00")],
            },
            8: {"name": "Samuel Ortiz", "phone": "202-555-0162", "gifts": []},
        }
        self.url = await serve(stack, [web.post("/civicrm/ajax/api4/{entity}/{action}", self._call)])

    def crm(self, *, url: str | None = None, secret: str = SECRET) -> Crm:
        return CiviCrm(CiviCrmSettings(url=url or self.url, api_key=SecretStr(secret)), **WITH)

    async def _call(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if request.headers.get("X-Civi-Auth") != f"Bearer {SECRET}" or self.mood == "no_token":
            return web.json_response({"error_message": "Failed to authenticate"}, status=401)
        assert request.headers["X-Requested-With"] == "XMLHttpRequest", "AuthX asks for it"
        bad = await self._bad(request, {"values": [{"contact_id": "seven", "phone": 1}]})
        if bad is not None:
            return bad
        params = json.loads((await request.post())["params"])  # type: ignore[arg-type]
        entity, action = request.match_info["entity"], request.match_info["action"]
        answer = getattr(self, f"_{entity}_{action}".lower())(params)
        return web.json_response({"values": answer, "count": len(answer)})

    def _phone_get(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        field_, operator, digits = params["where"][0]
        assert (field_, operator) == ("phone_numeric", "IN")
        assert set(params["chain"]) == {"sums", "recent", "last"}
        found = []
        for id, one in self.contacts.items():
            if re.sub(r"\D", "", one["phone"]) in digits or (self.mood == "another" and id == 8):
                if self.mood == "another" and id != 8:
                    continue
                amounts = sorted(one["gifts"], reverse=True)
                total = sum(float(amount) for _, amount in amounts)
                sums = [{"currency": "USD", "total": f"{total:.2f}", "gifts": len(amounts), "largest": "10000.00"}]
                last = [{"currency": "USD", "total_amount": amount, "receive_date": f"{day} 10:00:00"}
                        for day, amount in amounts[:1]]  # fmt: skip
                found.append(
                    {
                        "contact_id": id,
                        "phone": one["phone"],
                        "contact_id.display_name": one["name"],
                        "contact_id.preferred_language": "en_US",
                        "sums": sums if amounts else [],
                        "recent": [{"currency": "USD", "gifts": 1}] if amounts else [],
                        "last": last,
                    }
                )
        return found

    def _email_get(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        field_, operator, email = params["where"][0]
        assert (field_, operator) == ("email", "=")
        known = [(id, one["email"]) for id, one in self.contacts.items() if one.get("email")]
        return [{"contact_id": id, "email": one} for id, one in known if one.casefold() == email.casefold()]

    def _contact_save(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        assert params["match"] == ["external_identifier"]
        (one,) = params["records"]
        chained = {name: call[2]["records"][0][name] for name, call in params["chain"].items()}
        assert all(call[:2] == [name.title(), "save"] for name, call in params["chain"].items())
        self.entries[f"contact {one['external_identifier']}"] = {**one, **chained}
        self.contacts[9] = {"name": one["last_name"], "phone": "", "gifts": [], **chained}
        return [{"id": 9, **one}]

    def _contact_update(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        assert params["where"][0][:2] == ["id", "="]
        self.entries["opt out"] = params["values"]
        self.silenced.append(str(params["where"][0][2]))
        return [{"id": params["where"][0][2]}]

    def _contribution_save(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        assert params["match"] == ["trxn_id"]
        (one,) = params["records"]
        key = f"gift {one['trxn_id']}"
        self.entries[key] = {**self.entries.get(key, {}), **one, "amount": one["total_amount"]}
        self.entries[key]["refunded"] = one["contribution_status_id:name"] in ("Refunded", "Chargeback")
        return [one]

    def _activity_save(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        assert params["match"] == ["subject"]
        (one,) = params["records"]
        key = f"activity {one['subject']}"
        self.entries[key] = {**self.entries.get(key, {}), **one}
        return [one]


@dataclass
class SqlSide(Side):
    """A database of the run's own server."""

    can_write: bool = False
    has_tokens: bool = False
    moods: tuple[str, ...] = ("huge", "wrong_types", "another")
    database_url: str = ""

    async def start(self, stack: AsyncExitStack) -> None:
        self.url = self.database_url
        connection = await asyncpg.connect(self.url)
        await connection.execute(
            """CREATE TABLE mood (mood text); INSERT INTO mood VALUES ('good');
            CREATE TABLE donors (id int, name text, phone text, digits text, lifetime numeric, given_on date, n int);
            INSERT INTO donors VALUES
                (7, 'Eleanor Whitfield', '(202) 555-0161', '12025550161', 12500.00, '2026-09-01', 2),
                (8, 'Samuel Ortiz', '+1 202 555 0162', '12025550162', 0, NULL, 0)"""
        )
        await connection.close()

    QUERY = """
        SELECT id AS donor_id, phone, lifetime AS lifetime_value, given_on AS last_donation_date,
            CASE WHEN mood = 'wrong_types' THEN -1 ELSE n END AS donation_count, 'x:y' AS "a:b", now()::date AS today,
            CASE WHEN mood = 'huge' THEN repeat('x', 5000000) ELSE name END AS name
        FROM donors, mood -- :nobody
        WHERE digits = :digits OR (mood = 'another' AND id = 8 AND :digits <> '')
    """

    def crm(self, *, url: str | None = None, secret: str = SECRET) -> Crm:
        del secret
        if url is not None:
            url = url.replace("http://", "postgresql://nobody@")
        return Sql(CrmSqlSettings(url=SecretStr(url or self.url), query=self.QUERY), **WITH)

    async def set_mood_there(self, mood: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute("UPDATE mood SET mood = $1", mood)
        if mood == "another":
            await connection.execute("DELETE FROM donors WHERE id = 7")
        await connection.close()


SIDES: dict[str, type[Side]] = {
    "rest": RestSide,
    "civicrm": CiviSide,
    "salesforce": SalesforceSide,
    "dynamics": DynamicsSide,
    "sql": SqlSide,
}
