"""The other sides of Salesforce and Dynamics: tokens of OAuth, and what the vendors' interfaces answer with them."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import SecretStr

from support.crm_side import NAME, SECRET, WITH, Side, serve
from tenderline.config import DynamicsSettings, SalesforceSettings
from tenderline.crm.base import Crm
from tenderline.crm.dynamics import Dynamics
from tenderline.crm.salesforce import Salesforce


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
        self.url = await serve(
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
        self.url = await serve(
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
