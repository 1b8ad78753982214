"""The other side of each kind of CRM: small servers that speak the vendor's published interface, with moods.

Each knows the same donors. What is written lands in `entries` under its own key, so that a repetition shows.
"""

from __future__ import annotations

import asyncio
import json
import re
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from tenderline.config import CiviCrmSettings, CrmRestSettings, CrmSqlSettings, DynamicsSettings, SalesforceSettings
from tenderline.crm.base import Crm
from tenderline.crm.civicrm import CiviCrm
from tenderline.crm.dynamics import Dynamics
from tenderline.crm.rest import Rest
from tenderline.crm.salesforce import Salesforce
from tenderline.crm.sql import Sql
from tenderline_sandbox.crm import DonorCrm, KnownDonor
from tenderline_sandbox.settings import SandboxSettings

SECRET = "contract-secret-0123456789"
HUGE_BYTES = 5 * 1024 * 1024
KNOWN = "+12025550161"
UNKNOWN = "+12025550199"
OTHER = "+12025550162"
NAME = "Eleanor Whitfield"
LIFETIME_MINOR = 1_250_000
WITH = {"currency": "USD", "region": "US"}


@dataclass
class Side(ABC):
    """The other side of one kind of CRM."""

    mood: str = "good"
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens_given: int = 0
    asked: int = 0
    silenced: list[str] = field(default_factory=list)
    """Whose row was set to no contact, by the CRM's own id."""
    can_write: bool = True
    has_tokens: bool = True
    moods: tuple[str, ...] = ("html", "huge", "wrong_types", "another", "cut", "down", "redirect", "no_token")

    @abstractmethod
    async def start(self, stack: AsyncExitStack) -> None: ...

    @abstractmethod
    def crm(self, *, url: str | None = None, secret: str = SECRET) -> Crm: ...

    def set_mood(self, mood: str) -> None:
        self.mood = mood

    def share_number(self) -> set[str]:
        """Everybody in the household of the known donor: a second one is made."""
        first, number = next((str(id), one) for id, one in self.contacts.items() if NAME in one.values())
        second = 17 if isinstance(next(iter(self.contacts)), int) else str(UUID(int=17))
        shared = {name: value for name, value in number.items() if "hone" in name or name == "gifts"}
        self.contacts[second] = {
            self.name_field: "B. Whitfield",
            **shared,
            **({"gifts": []} if "gifts" in shared else {}),
        }
        return {first, str(second)}

    def give_email(self, email: str) -> None:
        """Somebody new who has nothing but an address."""
        new = 18 if isinstance(next(iter(self.contacts)), int) else str(UUID(int=18))
        self.contacts[new] = {self.name_field: "Ruth", self.email_field: email, "phone": "", "gifts": []}

    async def _bad(self, request: web.Request, wrong: object) -> web.StreamResponse | None:
        match self.mood:
            case "html":
                return web.Response(text="<!doctype html><h1>Down</h1>", content_type="text/html")
            case "huge":
                answer = web.StreamResponse()  # chunked: its length is not told
                await answer.prepare(request)
                try:
                    for _ in range(HUGE_BYTES // 65_536):
                        await answer.write(b" " * 65_536)
                except ConnectionError:
                    return answer
                return answer
            case "wrong_types":
                return web.json_response(wrong)
            case "down":
                return web.json_response({"error": "down"}, status=503)
            case "redirect":
                return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})
            case "cut":
                answer = web.StreamResponse(headers={"Content-Length": "500"})
                await answer.prepare(request)
                await answer.write(b'{"values": [')
                assert request.transport is not None
                request.transport.abort()
                return answer
        return None


async def _serve(stack: AsyncExitStack, routes: list[web.RouteDef]) -> str:
    app = web.Application(client_max_size=1024 * 1024)
    app.add_routes(routes)
    server = await stack.enter_async_context(TestServer(app))
    return f"http://127.0.0.1:{server.port}"


@dataclass
class RestSide(Side):
    async def start(self, stack: AsyncExitStack) -> None:
        self.server = DonorCrm(SandboxSettings(crm_client_secret=SECRET))
        self.url = f"{await _serve(stack, self.server.routes())}/crm"
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
        self.url = await _serve(stack, [web.post("/civicrm/ajax/api4/{entity}/{action}", self._call)])

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
class _Bearer(Side):
    """Sides with OAuth client credentials in the form."""

    currencies: tuple[str, ...] = ("USD", "EUR")
    token: str = ""

    async def _give_token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        if self.mood in ("html", "huge", "cut", "down", "redirect") and not self.token:
            bad = await self._bad(request, {})
            assert bad is not None
            return bad
        if (form["grant_type"], form["client_id"], form["client_secret"]) != ("client_credentials", "app", SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        self._check_form(dict(form))
        self.tokens_given += 1
        self.token = f"token-{self.tokens_given}"
        await asyncio.sleep(0)
        return web.json_response({"access_token": self.token, "token_type": "Bearer", **self._life()})

    def _check_form(self, form: dict[str, Any]) -> None: ...

    def _life(self) -> dict[str, Any]:
        return {}

    def _is_known(self, request: web.Request) -> bool:
        self.asked += 1
        return request.headers.get("Authorization") == f"Bearer {self.token}" and self.mood != "no_token"


@dataclass
class SalesforceSide(_Bearer):
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    name_field, email_field = "Name", "Email"

    async def start(self, stack: AsyncExitStack) -> None:
        sums = {
            "npo02__TotalOppAmount__c": 12500.0,
            "npo02__LastOppAmount__c": 2500.0,
            "npo02__LargestAmount__c": 4000.0,
        }
        counts = {"npo02__NumberOfClosedOpps__c": 2.0, "npo02__OppsClosedLastNDays__c": 1.0}
        self.contacts = {
            "003A": {
                "Name": NAME,
                "Phone": "(202) 555-0161",
                "npo02__LastCloseDate__c": "2026-09-01",
                **sums,
                **counts,
            },
            "003B": {"Name": "Samuel Ortiz", "MobilePhone": "202.555.0162"},
        }
        base = "/services/data/v62.0"
        self.url = await _serve(
            stack,
            [
                web.post("/services/oauth2/token", self._give_token),
                web.post(f"{base}/parameterizedSearch", self._search),
                web.patch(f"{base}/sobjects/{{kind}}/{{field}}/{{key}}", self._upsert),
                web.patch(f"{base}/sobjects/Contact/{{id}}", self._update),
            ],
        )

    def crm(self, *, url: str | None = None, secret: str = SECRET) -> Crm:
        settings = SalesforceSettings(url=url or self.url, client_id="app", client_secret=SecretStr(secret))
        return Salesforce(settings, **WITH)

    async def _search(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return web.json_response([{"errorCode": "INVALID_SESSION_ID", "message": "expired"}], status=401)
        bad = await self._bad(request, {"searchRecords": [{"Id": 7, "Name": []}]})
        if bad is not None:
            return bad
        asked = await request.json()
        assert asked["in"] in ("PHONE", "EMAIL")
        assert asked["sobjects"][0]["name"] == "Contact"
        digits = re.sub(r"\D", "", asked["q"])
        found = []
        for id, one in self.contacts.items():
            phones = [re.sub(r"\D", "", str(one.get(name, ""))) for name in ("Phone", "MobilePhone", "HomePhone")]
            hit = id == "003B" if self.mood == "another" else any(phone.endswith(digits) for phone in phones)
            if asked["in"] == "EMAIL":  # a search of words: it finds more than was meant
                hit = asked["q"].casefold().partition("@")[0][-2:] in str(one.get("Email", "")).casefold()
            if hit:
                empty = dict.fromkeys(asked["sobjects"][0]["fields"])
                found.append({"attributes": {"type": "Contact"}, **empty, **one, "Id": id})
        return web.json_response({"searchRecords": found})

    async def _upsert(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return web.json_response([{"errorCode": "INVALID_SESSION_ID"}], status=401)
        bad = await self._bad(request, {"id": 1})
        if bad is not None:
            return bad
        kind, key = request.match_info["kind"], request.match_info["key"]
        assert request.match_info["field"] == "Tenderline_Key__c"
        given, name = await request.json(), f"{kind} {key}"
        if "CurrencyIsoCode" in given and len(self.currencies) == 1:
            wrong = {"errorCode": "INVALID_FIELD", "message": "No such column 'CurrencyIsoCode' on Opportunity"}
            return web.json_response([wrong], status=400)
        is_new = name not in self.entries
        if kind == "Contact":
            self.contacts["003N"] = {"Name": given["LastName"], **given}
        elif kind == "Opportunity":
            name = f"gift {key}"
            given |= {"amount": f"{given['Amount']:.2f}", "refunded": given["StageName"] == "Closed Lost"}
        else:
            name = f"activity {key}"
        self.entries[name] = {**self.entries.get(name, {}), **given}
        made = {"id": "003N" if kind == "Contact" else "006N", "success": True, "errors": [], "created": is_new}
        return web.json_response(made, status=201 if is_new else 200)

    async def _update(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return web.json_response([{"errorCode": "INVALID_SESSION_ID"}], status=401)
        self.entries["opt out"] = await request.json()
        self.silenced.append(request.match_info["id"])
        return web.Response(status=204)


@dataclass
class DynamicsSide(_Bearer):
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    name_field, email_field = "fullname", "emailaddress1"

    async def start(self, stack: AsyncExitStack) -> None:
        a, b = str(UUID(int=7)), str(UUID(int=8))
        gave = {"msnfp_sum_lifetimetransactions": 12500.0, "msnfp_count_lifetimetransactions": 2}
        when = {"msnfp_lasttransactiondate": "2026-09-01T00:00:00Z"}
        self.contacts = {
            a: {"fullname": NAME, "telephone1": "+1 202-555-0161", **gave, **when},
            b: {"fullname": "Samuel Ortiz", "mobilephone": "202-555-0162"},
        }
        base = "/api/data/v9.2"
        self.url = await _serve(
            stack,
            [
                web.post("/tenant.example/oauth2/v2.0/token", self._give_token),
                web.get(f"{base}/contacts", self._query),
                web.get(f"{base}/transactioncurrencies", self._currency),
                web.patch(f"{base}/{{row}}", self._upsert),
            ],
        )

    def crm(self, *, url: str | None = None, secret: str = SECRET) -> Crm:
        settings = DynamicsSettings(
            url=url or self.url, login_url=url or self.url, tenant_id="tenant.example", client_id="app",
            client_secret=SecretStr(secret),
        )  # fmt: skip
        return Dynamics(settings, **WITH)

    def _check_form(self, form: dict[str, Any]) -> None:
        assert form["scope"].endswith("/.default")

    def _life(self) -> dict[str, Any]:
        return {"expires_in": 3599}

    async def _currency(self, request: web.Request) -> web.StreamResponse:
        (code,) = re.findall(r"isocurrencycode eq '([A-Z]{3})'", request.query["$filter"])
        rows = [{"transactioncurrencyid": f"id-of-{code}"}] if code in self.currencies else []
        return web.json_response({"value": rows})

    async def _query(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return web.json_response({"error": {"code": "0x80040204"}}, status=401)
        bad = await self._bad(request, {"value": [{"contactid": 7}]})
        if bad is not None:
            return bad
        wanted = re.findall(r"(\w+) eq '((?:[^']|'')*)'", request.query["$filter"])
        found = []
        for id, one in self.contacts.items():
            hit = any(str(one.get(column)).casefold() == value.casefold() for column, value in wanted)
            if (one["fullname"] != NAME) if self.mood == "another" else hit:
                empty = dict.fromkeys(request.query["$select"].split(","))
                found.append({"@odata.etag": 'W/"1"', **empty, **one, "contactid": id})
        return web.json_response({"@odata.context": "…", "value": found})

    async def _upsert(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return web.json_response({"error": {}}, status=401)
        bad = await self._bad(request, {})
        if bad is not None:
            return bad
        matched = re.fullmatch(r"(\w+)\(([0-9a-f-]{36})\)", request.match_info["row"])
        assert matched is not None
        table, key, given = matched[1], matched[2], await request.json()
        if table == "contacts" and "donotphone" in given:
            self.entries["opt out"] = given
            self.silenced.append(key)
        elif table == "contacts":
            self.entries[f"contact {key}"] = given
            self.contacts[key] = {"fullname": given["lastname"], **given}
        elif table == "msnfp_transactions":
            given |= {"amount": f"{given['msnfp_amount']:.2f}", "refunded": given["statuscode"] == 844060004}
            self.entries[f"gift {key}"] = {**self.entries.get(f"gift {key}", {}), **given}
        else:
            assert table == "phonecalls"
            self.entries[f"activity {key}"] = {**self.entries.get(f"activity {key}", {}), **given}
        return web.Response(status=204)


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
__all__ = ["KNOWN", "NAME", "OTHER", "SIDES", "UNKNOWN", "KnownDonor", "RestSide", "Side"]
