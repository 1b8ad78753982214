"""The remote control: JSON that tests and the scripted demo use to look behind the scenes and to play people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from tenderline_sandbox.carrier import Carrier, CarrierError, Message
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.mailbox import Mail, Mailbox, MailboxError

LISTED_MAX: Final = 1_000
CALLBACK_DELAY_MS_MAX: Final = 60_000
_DIRECTIONS: Final = ("outbound", "inbound", "all")


class ControlError(ValueError):
    """The request cannot be understood; the text says what was expected."""


class Control:
    """The handlers under /control and the JSON of /faults."""

    def __init__(self, carrier: Carrier, mailbox: Mailbox, faults: Mapping[str, FaultSwitches]) -> None:
        self._carrier = carrier
        self._mailbox = mailbox
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """What the shell mounts."""
        return [
            web.get("/control/carrier/messages", self._carrier_messages),
            web.post("/control/carrier/outcome", self._carrier_outcome),
            web.post("/control/carrier/reply", self._carrier_reply),
            web.post("/control/carrier/handset", self._carrier_handset),
            web.put("/control/carrier/settings", self._carrier_settings),
            web.delete("/control/carrier", self._carrier_reset),
            web.get("/control/mailbox/messages", self._mailbox_messages),
            web.post("/control/mailbox/unsubscribe", self._mailbox_unsubscribe),
            web.post("/control/mailbox/reject", self._mailbox_reject),
            web.delete("/control/mailbox", self._mailbox_reset),
            web.get("/faults/{part}", self._faults_show),
            web.put("/faults/{part}", self._faults_set),
        ]

    async def _carrier_messages(self, request: web.Request) -> web.Response:
        """What the carrier accepted from the product, oldest first (`direction=inbound|all` for the other way)."""
        wanted = {name: request.query[name] for name in ("to", "from", "number") if name in request.query}
        direction = request.query.get("direction", "outbound")
        if direction not in _DIRECTIONS:
            raise ControlError(f"direction is one of {', '.join(_DIRECTIONS)}.")
        found = [
            message
            for message in self._carrier.messages.values()
            if (direction == "all" or message.inbound == (direction == "inbound")) and _matches(message, wanted)
        ]
        return web.json_response(
            {
                "count": len(found),
                "by_status": dict(Counter(message.status for message in found)),
                "pending": self._carrier.pending,
                "messages": [_message(message) for message in found[-LISTED_MAX:]],
            }
        )

    async def _carrier_outcome(self, request: web.Request) -> web.Response:
        given = await _fields(request, "number", "outcome")
        self._carrier.set_outcome(given["number"], given["outcome"])
        return web.json_response({"number": given["number"], "outcome": self._carrier.outcomes[given["number"]]})

    async def _carrier_reply(self, request: web.Request) -> web.Response:
        """Waits for the product: the answer tells what it said to the webhook."""
        given = await _fields(request, "from", "body", optional=("to",))
        message = await self._carrier.reply(given["from"], given.get("to"), given["body"])
        last = message.callbacks[-1].posted
        return web.json_response(
            {"sid": message.sid, "product_status": last.http_status, "error": last.error, **_message(message)}
        )

    async def _carrier_handset(self, request: web.Request) -> web.Response:
        given = await _fields(request, "number", optional=("name", "zone"))
        handset = self._carrier.handset(given["number"], name=given.get("name"), zone=given.get("zone"))
        return web.json_response({"number": handset.number, "name": handset.name, "zone": handset.zone})

    async def _carrier_settings(self, request: web.Request) -> web.Response:
        given = await read_json(request)
        if unknown := given.keys() - {"callback_delay_ms", "keeps_opt_outs"}:
            raise ControlError(f"There is no setting {min(unknown)!r}; there are callback_delay_ms and keeps_opt_outs.")
        delay_ms = given.get("callback_delay_ms", self._carrier.callback_delay_ms)
        keeps = given.get("keeps_opt_outs", self._carrier.keeps_opt_outs)
        if isinstance(delay_ms, bool) or not isinstance(delay_ms, int) or not 0 <= delay_ms <= CALLBACK_DELAY_MS_MAX:
            raise ControlError(f"callback_delay_ms is a whole number from 0 to {CALLBACK_DELAY_MS_MAX:,}.")
        if not isinstance(keeps, bool):
            raise ControlError("keeps_opt_outs is true or false.")
        self._carrier.callback_delay_ms, self._carrier.keeps_opt_outs = delay_ms, keeps
        return web.json_response({"callback_delay_ms": delay_ms, "keeps_opt_outs": keeps})

    async def _carrier_reset(self, request: web.Request) -> web.Response:
        await self._carrier.reset()
        return web.json_response({"reset": "carrier"})

    async def _mailbox_messages(self, request: web.Request) -> web.Response:
        """What arrived, oldest first; `to` narrows it to one address."""
        to = request.query.get("to")
        found = self._mailbox.inbox(to) if to else list(self._mailbox.mails.values())
        return web.json_response({"count": len(found), "messages": [_mail(mail) for mail in found[-LISTED_MAX:]]})

    async def _mailbox_unsubscribe(self, request: web.Request) -> web.Response:
        given = await _fields(request, "id")
        posted = await self._mailbox.unsubscribe(given["id"])
        return web.json_response({"id": given["id"], "product_status": posted.http_status, "error": posted.error})

    async def _mailbox_reject(self, request: web.Request) -> web.Response:
        """`rejected` false makes the address exist again."""
        given = await read_json(request)
        address, rejected = given.get("address"), given.get("rejected", True)
        if not isinstance(address, str) or not isinstance(rejected, bool):
            raise ControlError("address is a text; rejected is true or false.")
        self._mailbox.reject(address, rejected=rejected)
        return web.json_response({"address": address, "rejected": rejected})

    async def _mailbox_reset(self, request: web.Request) -> web.Response:
        self._mailbox.reset()
        return web.json_response({"reset": "mailbox"})

    async def _faults_show(self, request: web.Request) -> web.Response:
        return web.json_response(switches_of(self._faults, request).to_dict())

    async def _faults_set(self, request: web.Request) -> web.Response:
        switches = switches_of(self._faults, request)
        switches.update(await read_json(request))
        return web.json_response(switches.to_dict())


EXPLAINED_ERRORS: Final = (ControlError, CarrierError, MailboxError)
"""Errors whose text is for the caller. `FaultError` is one too; the shell adds it."""


def switches_of(faults: Mapping[str, FaultSwitches], request: web.Request) -> FaultSwitches:
    """The switches of the part named in the path."""
    switches = faults.get(request.match_info["part"])
    if switches is None:
        raise web.HTTPNotFound(
            text=json.dumps({"error": f"There is no such part; there are {', '.join(faults)}."}),
            content_type="application/json",
        )
    return switches


async def read_json(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request. Asks for the content type, which no foreign page can send unasked."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(
            text='{"error": "Send JSON, with Content-Type: application/json."}', content_type="application/json"
        )
    try:
        given = await request.json()
    except ValueError as error:
        raise ControlError("The body is not JSON.") from error
    if not isinstance(given, dict):
        raise ControlError("The body is not a JSON object.")
    return given


async def _fields(request: web.Request, *names: str, optional: tuple[str, ...] = ()) -> dict[str, str]:
    """The text fields of a request: all of `names`, and those of `optional` that are there."""
    given = await read_json(request)
    for name in names:
        if not isinstance(given.get(name), str):
            raise ControlError(f"{name} is missing, or is not a text.")
    for name, value in given.items():
        if name not in names and name not in optional:
            raise ControlError(f"There is no field {name!r}; there are {', '.join((*names, *optional))}.")
        if not isinstance(value, str):
            raise ControlError(f"{name} is not a text.")
    return given


def _matches(message: Message, wanted: Mapping[str, str]) -> bool:
    values = {"to": message.to, "from": message.sender, "number": message.handset}
    return all(values[name] == value for name, value in wanted.items())


def _message(message: Message) -> dict[str, Any]:
    return {
        "sid": message.sid,
        "direction": "inbound" if message.inbound else "outbound",
        "to": message.to,
        "from": message.sender,
        "body": message.body,
        "status": message.status,
        "error_code": message.error_code,
        "segments": message.segments,
        "created_at": message.created_at.isoformat(),
        "sent_at": message.sent_at.isoformat() if message.sent_at else None,
        "callbacks": [callback.to_dict() for callback in message.callbacks],
    }


def _mail(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "to": mail.to,
        "from": mail.sender,
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "headers": mail.headers,
        "message_id": mail.header("Message-ID"),
        "received_at": mail.received_at.isoformat(),
        "unsubscribe_url": mail.unsubscribe_url,
        "one_click": mail.is_one_click,
        "unsubscribed": [posted.to_dict() for posted in mail.unsubscribed],
    }
