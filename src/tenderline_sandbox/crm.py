"""A donor CRM with the look-up that the product asks: OAuth client credentials, a few donors, and bad days."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from tenderline_sandbox.changes import Changes
from tenderline_sandbox.settings import SandboxSettings

PATH: Final = "/crm"
TOKEN_LIFE_S: Final = 600
TOKENS_MAX: Final = 1_000
ENTRIES_MAX: Final = 1_000
SLOW_S: Final = 5.0
HANG_S: Final = 10.0
HUGE_BYTES: Final = 5 * 1024 * 1024

MOODS: Final = {
    "good": "Answers at once",
    "slow": f"Answers after {SLOW_S:.0f} s",
    "hang": f"Answers after {HANG_S:.0f} s",
    "html": "Answers with a page of HTML",
    "huge": "Answers with 5 MB",
    "wrong_types": "Answers with texts where numbers belong",
    "another": "Answers with another donor's record",
    "cut": "Closes the connection in mid-answer",
    "down": "Is down: 503",
    "redirect": "Sends everybody to another address",
    "no_token": "Takes no token",
}


class CrmError(ValueError):
    """What was asked of the CRM's control makes no sense; the text says why."""


@dataclass(frozen=True)
class KnownDonor:
    """A donor of the CRM. `gave` is (days ago, amount)."""

    id: str
    name: str
    phone: str
    tier: str
    gave: tuple[tuple[int, str], ...] = ()
    lifetime: str = "0.00"
    language: str = "en"
    notes: tuple[str, ...] = ()
    preferred_agent: str | None = None

    def to_dict(self, today: date) -> dict[str, Any]:
        """As the look-up answers."""
        days = sorted(self.gave)
        told: dict[str, Any] = {
            "donor_id": self.id,
            "name": self.name,
            "phone": self.phone,
            "language": self.language,
            "donor_tier": self.tier,
            "lifetime_value": self.lifetime,
            "currency": "USD",
            "donation_count": len(days),
            "donations_last_12_months": sum(1 for ago, _ in days if ago < 365),
            "notes": list(self.notes),
        }
        if days:
            told["last_donation_date"] = (today - timedelta(days=days[0][0])).isoformat()
            told["last_donation_amount"] = days[0][1]
            told["largest_donation"] = max((amount for _, amount in days), key=float)
        if self.preferred_agent:
            told["preferred_agent"] = self.preferred_agent
        return told


# Numbers that national regulators keep free for fiction.
DONORS: Final = (
    KnownDonor("D-1001", "Eleanor Whitfield", "+12025550161", "Platinum", ((40, "2500.00"), (400, "4000.00")),
               "12500.00", notes=("Prefers to be called in the morning",), preferred_agent="maria"),
    KnownDonor("D-1002", "Samuel Ortiz", "+12025550162", "Monthly", tuple((30 * n + 5, "30.00") for n in range(1, 9)),
               "540.00", language="es"),
    KnownDonor("D-1003", "Ruth Okafor", "+12025550163", "Lapsed", ((520, "1200.00"), (900, "800.00")), "2000.00"),
    KnownDonor("D-1004", "Hannah Lindqvist", "+12025550164", "New", ()),
)  # fmt: skip


@dataclass
class DonorCrm:
    """The CRM: who is known, what was written, and its mood."""

    settings: SandboxSettings
    mood: str = "good"
    donors: dict[str, KnownDonor] = field(default_factory=lambda: {one.phone: one for one in DONORS})
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was written, by its id: written twice, it is here once."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    tokens_given: int = 0
    changes: Changes = field(default_factory=Changes)
    _tokens: dict[str, datetime] = field(default_factory=dict)

    def set_mood(self, mood: str) -> None:
        """From now on it behaves so. Raises `CrmError`."""
        if mood not in MOODS:
            raise CrmError(f"There is no mood {mood!r}; there are {', '.join(MOODS)}.")
        self.mood = mood
        self.changes.bump()

    def reset(self) -> None:
        """As at the start."""
        self.mood = "good"
        self.donors = {one.phone: one for one in DONORS}
        self.entries.clear()
        self.asked.clear()
        self._tokens.clear()
        self.changes.bump()

    def routes(self) -> list[web.RouteDef]:
        """What the shell mounts: the CRM's interface."""
        return [
            web.post(f"{PATH}/oauth/token", self._token),
            web.post(f"{PATH}/api/v1/donor/lookup", self._lookup),
            web.post(f"{PATH}/api/v1/donor/activity", self._activity),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if not _is_client(request, self.settings):
            return web.json_response({"error": "invalid_client"}, status=401)
        token = secrets.token_urlsafe(24)
        while len(self._tokens) >= TOKENS_MAX:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[token] = datetime.now(UTC) + timedelta(seconds=TOKEN_LIFE_S)
        self.tokens_given += 1
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE_S})

    def _knows(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        ends_at = self._tokens.get(token)
        return scheme == "Bearer" and ends_at is not None and datetime.now(UTC) < ends_at and self.mood != "no_token"

    async def _lookup(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request):
            return web.json_response({"error": "invalid_token"}, status=401)
        given = await request.json()
        if given.keys() != {"identifier_type", "identifier_value"} or given["identifier_type"] not in ("ANI", "DNIS"):
            return web.json_response({"error": "send identifier_type (ANI or DNIS) and identifier_value"}, status=400)
        self.asked = [*self.asked[-ENTRIES_MAX + 1 :], given]
        self.changes.bump()
        bad = await self._bad_day(request)
        if bad is not None:
            return bad
        donor = self.donors.get(given["identifier_value"])
        if self.mood == "another":
            donor = next(one for one in DONORS if one.phone != given["identifier_value"])
        if donor is None:
            return web.json_response({"error": "no donor has this number"}, status=404)
        return web.json_response(donor.to_dict(datetime.now(UTC).date()))

    async def _bad_day(self, request: web.Request) -> web.StreamResponse | None:
        match self.mood:
            case "slow" | "hang":
                await asyncio.sleep(SLOW_S if self.mood == "slow" else HANG_S)
            case "html":
                return web.Response(text="<!doctype html><title>Maintenance</title>", content_type="text/html")
            case "huge":
                return web.json_response({"donor_id": "D-1", "name": "x" * HUGE_BYTES})
            case "wrong_types":
                return web.json_response({"donor_id": "D-1", "donation_count": "many", "lifetime_value": []})
            case "down":
                return web.json_response({"error": "down for maintenance"}, status=503)
            case "redirect":
                return web.Response(status=302, headers={"Location": "https://crm.example.org/elsewhere"})
            case "cut":
                answer = web.StreamResponse(headers={"Content-Length": "500", "Content-Type": "application/json"})
                await answer.prepare(request)
                await answer.write(b'{"donor_id": "D-')
                assert request.transport is not None
                request.transport.abort()
                return answer
        return None

    async def _activity(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request):
            return web.json_response({"error": "invalid_token"}, status=401)
        bad = await self._bad_day(request)
        if bad is not None:
            return bad
        given = await request.json()
        key = request.headers.get("Idempotency-Key")
        if not key or given.get("id") != key:
            return web.json_response({"error": "Idempotency-Key is missing, or is not the id"}, status=400)
        is_new = key not in self.entries
        if is_new and len(self.entries) >= ENTRIES_MAX:
            self.entries.pop(next(iter(self.entries)))
        self.entries.setdefault(key, given)
        self.changes.bump()
        return web.json_response({"id": key}, status=201 if is_new else 200)


def _is_client(request: web.Request, settings: SandboxSettings) -> bool:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    try:
        said = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return scheme == "Basic" and secrets.compare_digest(said, f"{settings.crm_client_id}:{settings.crm_client_secret}")
