"""The pages people see: telephones, inboxes and the switches. Forms post, then redirect; nothing needs a script."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from aiohttp import web

from tenderline_sandbox import screen
from tenderline_sandbox.carrier import E164, Carrier, Handset, Message
from tenderline_sandbox.changes import Changes
from tenderline_sandbox.control import switches_of
from tenderline_sandbox.faults import FaultError, FaultSwitches
from tenderline_sandbox.mailbox import Mail, Mailbox
from tenderline_sandbox.screen import render

TILES_MAX: Final = 200
ROWS_MAX: Final = 500
BUBBLES_MAX: Final = 200
LIVE_STREAMS_MAX: Final = 100
LIVE_PAUSE_S: Final = 0.2
"""A burst of messages is one look at the page, not one each."""
LIVE_KEEP_ALIVE_S: Final = 15.0
QUICK_REPLIES: Final = ("STOP", "HELP", "START")

ENDINGS: Final = {
    "delivered": "Arrives",
    "undelivered:30003": "Phone is switched off (30003)",
    "undelivered:30005": "Number does not exist any more (30005)",
    "undelivered:30007": "Filtered as unwanted (30007)",
    "failed:30008": "Fails before it is sent (30008)",
    "sent": "No last word ever comes",
}

SWITCHES: Final = {
    "latency_ms": ("Answer late", "Milliseconds added to every answer; the work is done first."),
    "rate_limit_next": ("Too busy", "So many requests are turned away and nothing is done."),
    "retry_after_s": ("Busy for", "Seconds that a request turned away is told to wait."),
    "fail_before_next": ("Fail", "So many requests are answered with an error and nothing is done."),
    "fail_after_success_next": ("Do it, then say it failed", "So many are carried out and answered with an error."),
    "drop_after_success_next": ("Do it, then hang up", "So many are carried out and never answered."),
    "lose_callbacks_next": ("Lose callbacks", "So many webhooks to the product are never sent."),
    "duplicate_callbacks_next": ("Double callbacks", "So many webhooks to the product are sent twice."),
}
WITHOUT_CALLBACKS: Final = frozenset({"mailbox"})


@dataclass
class Tile:
    """One telephone in the grid."""

    handset: Handset
    zone: str | None
    last: Message | None = None
    unread: int = 0


@dataclass
class InboxRow:
    """One address in the list of inboxes."""

    address: str
    mails: list[Mail] = field(default_factory=list)

    @property
    def unread(self) -> int:
        """Messages that nobody opened."""
        return sum(not mail.read for mail in self.mails)


class Pages:
    """Handlers of the HTML pages."""

    def __init__(
        self,
        carrier: Carrier,
        mailbox: Mailbox,
        faults: Mapping[str, FaultSwitches],
        others: Mapping[str, Changes],
    ) -> None:
        self._carrier = carrier
        self._mailbox = mailbox
        self._faults = faults
        self._topics: dict[str, Changes] = {"carrier": carrier.changes, "mailbox": mailbox.changes, **others}
        self._streams = 0
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        """What the shell mounts."""
        return [
            web.get("/handsets", self._handsets),
            web.post("/handsets", self._handset_add),
            web.get("/handset/{number}", self._handset),
            web.post("/handset/{number}/reply", self._handset_reply),
            web.post("/handset/{number}/outcome", self._handset_outcome),
            web.get("/mailbox", self._mailboxes),
            web.get("/mailbox/{address}", self._inbox),
            web.post("/mailbox/{address}/reject", self._inbox_reject),
            web.get("/mail/{id}", self._mail),
            web.get("/mail/{id}/html", self._mail_html),
            web.post("/mail/{id}/unsubscribe", self._mail_unsubscribe),
            web.get("/faults", self._faults_page),
            web.post("/faults/{part}", self._faults_form),
            web.get("/live", self._live),
        ]

    def close(self) -> None:
        """Lets open pages go, so that the server can stop."""
        self._closing = True
        for changes in self._topics.values():
            changes.bump()

    async def _handsets(self, request: web.Request) -> web.Response:
        tiles: dict[str, Tile] = {}
        for message in self._carrier.newest_first():
            tile = self._tile(tiles, message.handset)
            if tile is None:
                continue
            tile.last = tile.last or message
            tile.unread += message.has_arrived and message.sequence > tile.handset.read_up_to
        for number in reversed(self._carrier.handsets):
            self._tile(tiles, number)
        return render(
            "handsets.html", tiles=list(tiles.values()), now=datetime.now(UTC), live=self._live_address("carrier")
        )

    def _tile(self, tiles: dict[str, Tile], number: str) -> Tile | None:
        handset = self._carrier.handsets.get(number)
        if number not in tiles and handset is not None and len(tiles) < TILES_MAX:
            tiles[number] = Tile(handset, handset.zone or screen.likely_zone(number))
        return tiles.get(number)

    async def _handset_add(self, request: web.Request) -> web.Response:
        form = await request.post()
        number, zone = str(form.get("number", "")).strip(), str(form.get("zone", "")).strip()
        self._carrier.handset(number, name=str(form.get("name", "")).strip() or None, zone=zone or None)
        raise web.HTTPSeeOther(_handset_path(number))

    async def _handset(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        handset = self._carrier.handsets.get(number)
        if handset is None or not E164.fullmatch(number):
            raise web.HTTPNotFound(text="No message was ever sent to this number, so there is no telephone to show.")
        messages = self._carrier.conversation(number)[-BUBBLES_MAX:]
        if messages:
            handset.read_up_to = messages[-1].sequence
        return render(
            "handset.html",
            handset=handset,
            zone=handset.zone or screen.likely_zone(number),
            messages=messages,
            now=datetime.now(UTC),
            quick_replies=QUICK_REPLIES,
            endings=ENDINGS,
            outcome=self._carrier.outcomes.get(number, "delivered"),
            opted_out=number in self._carrier.opted_out,
            live=self._live_address("carrier"),
        )

    async def _handset_reply(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        form = await request.post()
        await self._carrier.reply(number, None, str(form.get("body", "")).strip())
        raise web.HTTPSeeOther(_handset_path(number) + "#reply")

    async def _handset_outcome(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        self._carrier.set_outcome(number, str((await request.post()).get("outcome", "")))
        raise web.HTTPSeeOther(_handset_path(number))

    async def _mailboxes(self, request: web.Request) -> web.Response:
        rows: dict[str, InboxRow] = {}
        for mail in self._mailbox.newest_first():
            if mail.to in rows or len(rows) < ROWS_MAX:
                rows.setdefault(mail.to, InboxRow(mail.to)).mails.append(mail)
        return render("mailbox.html", rows=list(rows.values()), live=self._live_address("mailbox"))

    async def _inbox(self, request: web.Request) -> web.Response:
        address = request.match_info["address"].lower()
        mails = list(reversed(self._mailbox.inbox(address)))[:ROWS_MAX]
        rejected = address in self._mailbox.rejected
        if not mails and not rejected:
            raise web.HTTPNotFound(text="Nothing was ever sent to this address.")
        return render("inbox.html", address=address, mails=mails, rejected=rejected, live=self._live_address("mailbox"))

    async def _inbox_reject(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        self._mailbox.reject(address, rejected=(await request.post()).get("rejected") == "yes")
        raise web.HTTPSeeOther(f"/mailbox/{quote(address)}")

    async def _mail(self, request: web.Request) -> web.Response:
        mail = self._mailbox.find(request.match_info["id"])
        mail.read = True
        offered = [url for url in screen.links(mail.text) if url != mail.unsubscribe_url]
        return render("mail.html", mail=mail, link=offered[0] if offered else None)

    async def _mail_html(self, request: web.Request) -> web.Response:
        """The message's own HTML, for the frame in its page; links open outside of it."""
        mail = self._mailbox.find(request.match_info["id"])
        return web.Response(
            text='<!doctype html><base target="_blank">' + mail.html,
            content_type="text/html",
            headers={"Content-Security-Policy": screen.MAIL_POLICY, "Cache-Control": "no-store"},
        )

    async def _mail_unsubscribe(self, request: web.Request) -> web.Response:
        mail_id = request.match_info["id"]
        await self._mailbox.unsubscribe(mail_id)
        raise web.HTTPSeeOther(f"/mail/{mail_id}")

    async def _faults_page(self, request: web.Request) -> web.Response:
        return self._faults_view()

    def _faults_view(self, problem: str | None = None, changed: str | None = None) -> web.Response:
        parts = {
            part: {name: value for name, value in switches.to_dict().items() if _is_shown(part, name)}
            for part, switches in self._faults.items()
        }
        status = 422 if problem else 200
        return render("faults.html", status=status, parts=parts, switches=SWITCHES, problem=problem, changed=changed)

    async def _faults_form(self, request: web.Request) -> web.Response:
        """A browser's form; JSON goes to PUT on the same address."""
        switches = switches_of(self._faults, request)
        form = await request.post()
        if "reset" in form:
            switches.reset()
        else:
            try:
                switches.update({name: _number(value) for name, value in form.items()})
            except FaultError as error:
                return self._faults_view(problem=str(error))
        raise web.HTTPSeeOther("/faults")

    def _live_address(self, topic: str) -> str:
        return f"/live?topic={topic}&since={self._topics[topic].version}"

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: one each time that a page of this topic should be looked at again."""
        changes = self._topics.get(request.query.get("topic", ""))
        since = request.query.get("since", "")
        if changes is None or not since.isdecimal():
            raise web.HTTPNotFound(text="There is no such topic.")
        if self._streams >= LIVE_STREAMS_MAX:
            raise web.HTTPServiceUnavailable(text="Too many pages are open; this one has to be reloaded by hand.")
        self._streams += 1
        try:
            return await self._stream(request, changes, int(since))
        finally:
            self._streams -= 1

    async def _stream(self, request: web.Request, changes: Changes, version: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        try:
            while not self._closing:
                newest = await changes.newer_than(version, LIVE_KEEP_ALIVE_S)
                if self._closing:  # close() wakes everybody
                    break
                news = b"event: change\ndata: %d\n\n" % newest
                await response.write(b": still here\n\n" if newest == version else news)
                version = newest
                await asyncio.sleep(LIVE_PAUSE_S)
        except ConnectionError:
            pass  # the page was closed
        return response


def _handset_path(number: str) -> str:
    return f"/handset/{quote(number)}"


def _is_shown(part: str, name: str) -> bool:
    return part not in WITHOUT_CALLBACKS or not name.endswith("_callbacks_next")


def _number(value: object) -> object:
    """A form's text as a number, when it is one: what it may be is for the switches to say."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
