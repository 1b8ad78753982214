"""The CRM's page and its control: whom it knows, what it was asked, what was written, and its mood."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from tenderline_sandbox.control import read_json
from tenderline_sandbox.crm import MOODS, CrmError, DonorCrm, KnownDonor
from tenderline_sandbox.screen import render

ROWS_SHOWN: Final = 50


class CrmPages:
    """Handlers of the CRM's page and of /control/crm."""

    def __init__(self, crm: DonorCrm) -> None:
        self._crm = crm

    def routes(self) -> list[web.RouteDef]:
        """What the shell mounts."""
        return [
            web.get("/crm", self._page),
            web.post("/crm/mood", self._mood_form),
            web.get("/control/crm", self._show),
            web.put("/control/crm/mood", self._mood),
            web.put("/control/crm/donor", self._donor),
            web.delete("/control/crm", self._reset),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        crm, today = self._crm, datetime.now(UTC).date()
        return render(
            "crm.html",
            donors=[one.to_dict(today) for one in crm.donors.values()][:ROWS_SHOWN],
            entries=list(reversed(crm.entries.values()))[:ROWS_SHOWN],
            asked=list(reversed(crm.asked))[:ROWS_SHOWN],
            moods=MOODS,
            mood=crm.mood,
            live=f"/live?topic=crm&since={crm.changes.version}",
        )

    async def _mood_form(self, request: web.Request) -> web.Response:
        self._crm.set_mood(str((await request.post()).get("mood", "")))
        raise web.HTTPSeeOther("/crm")

    async def _show(self, request: web.Request) -> web.Response:
        crm = self._crm
        told = {"mood": crm.mood, "asked": crm.asked, "entries": list(crm.entries.values())}
        return web.json_response({**told, "tokens_given": crm.tokens_given})

    async def _mood(self, request: web.Request) -> web.Response:
        self._crm.set_mood(str((await read_json(request)).get("mood", "")))
        return web.json_response({"mood": self._crm.mood})

    async def _donor(self, request: web.Request) -> web.Response:
        """A donor more, or another one of this number: id, name, phone, tier, lifetime."""
        given = await read_json(request)
        try:
            donor = KnownDonor(**{str(name): str(value) for name, value in given.items()})  # type: ignore[arg-type]
        except TypeError:
            raise CrmError("A donor has id, name, phone, tier, and perhaps lifetime and language.") from None
        self._crm.donors[donor.phone] = donor
        self._crm.changes.bump()
        return web.json_response(donor.to_dict(datetime.now(UTC).date()))

    async def _reset(self, request: web.Request) -> web.Response:
        self._crm.reset()
        return web.json_response({"reset": "crm"})
