"""Processes that die at a step of a gift by telephone, as by kill -9: each is forked, so that it is there at once.

As a program it reads one JSON object a line and forks for each. The child runs the product's own steps and back stage
(`voice`), a turn of the worker (`read`, `reconcile`), or the edge that takes webhooks (`api`); at its step it stops or
kills itself. What it says and how it ended comes out as JSON lines that begin with the task's number.

A `voice` that is given a card's `number` has it keyed into a room of its own, and says the pid of the room's child.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
from typing import Any

import httpx
import structlog
from pydantic import SecretStr

from support import bank_town, services
from support.card_room import HASH, Caller
from support.memory_scan import Hidden
from support.scripted_call import ScriptedCall
from tenderline.api.webhooks import Webhooks
from tenderline.cardholder.messages import Prompt, Say
from tenderline.config import StripeSettings
from tenderline.core.money import Money
from tenderline.flows.call import CardKeyed
from tenderline.flows.phrase import Text
from tenderline.flows.steps.await_settlement import AwaitSettlement
from tenderline.flows.steps.capture import Capture
from tenderline.gateways.stripe import Stripe
from tenderline.payments import telephone
from tenderline.store import captures, db
from tenderline.store.inbox import Inbox, Unread
from tenderline.voice import card_entry
from tenderline.voice.backstage import DatabaseBackstage
from tenderline.voice.card_rooms import CardRooms
from tenderline.worker import read

TIMEOUT_S = 10.0
SETTLES_S = 4.0
"""How long a caller waits for the news, unless the task says otherwise: `settles_s`."""
POINTS: dict[str, tuple[Any, str, str]] = {
    "begun": (telephone, "charge", "before"),
    "intended": (Stripe, "prepare_charge", "before"),
    "prepared": (Stripe, "prepare_charge", "after"),
    "known": (Stripe, "charge", "before"),
    "charged": (Stripe, "charge", "after"),
    "answering": (telephone, "_answered", "before"),
    "waiting": (telephone, "settlement", "before"),
    "reading": (read, "handle_webhook", "before"),
    "read": (read, "handle_webhook", "after"),
    "asking": (Stripe, "read_charge", "before"),
    "asked": (Stripe, "read_charge", "after"),
    "closing": (telephone, "_answered", "before"),
    "storing": (Inbox, "_insert", "before"),
    "stored": (Inbox, "_insert", "after"),
}


def arm(step: str, number: int) -> None:
    """Puts the trap around the function: it strikes once, before the call, or after it however it ended."""
    owner, name, when = POINTS[step]
    original = getattr(owner, name)

    @functools.wraps(original)
    async def trapped(*args: Any, **more: Any) -> Any:
        setattr(owner, name, original)
        if when == "before":
            os.kill(os.getpid(), number)
        try:
            return await original(*args, **more)
        finally:
            if when == "after":
                os.kill(os.getpid(), number)

    setattr(owner, name, trapped)


class KeyedCall(ScriptedCall):
    """Its card is keyed into a real room. With `dies_at`, the room's child is killed when it asks that."""

    rooms: CardRooms
    keyed_by: Caller
    tell: Any
    dies_at: str | None

    async def card(self, say: Any) -> Any:
        del say
        room = await self.rooms.take("en")
        self.tell(f"room {room.pid}")

        def strike(_: int, event: Any) -> None:
            if isinstance(event, Say) and event.prompt == self.dies_at:
                os.kill(room.pid, signal.SIGKILL)

        try:
            return card_entry._card_of(await self.keyed_by.call(room, strike), room)
        finally:
            await room.close()


async def _voice(made: Any, task: dict[str, Any], say: Any) -> None:
    """A call from the first word about the card to the last about the money."""
    of_call: dict[str, Any] = {"caller": task["caller"], "variables": {"amount": Money(2500, "USD")}, "answered": True}
    if "number" not in task:
        call = ScriptedCall(**of_call)
        call.cards = [CardKeyed(task["token"], "visa", task["token"][-4:])]
        await _gives(made, call, say, task)
        return
    keyed = KeyedCall(**of_call)
    number, code = Hidden([int(digit) for digit in task["number"]]), Hidden([1, 2, 3])
    keyed.tell, keyed.dies_at, keyed.keyed_by = say, task.get("dies_at"), SettledCaller(number, code)
    keyed.rooms = CardRooms(made, None)  # type: ignore[arg-type]  # clips are for a number read back whole
    await keyed.rooms.start()
    try:
        await _gives(made, keyed, say, task)
    finally:
        await keyed.rooms.close()


class SettledCaller(Caller):
    """Ends the number by the pound key: sixteen digits of this brand could be more."""

    def keys(self, prompt: Prompt) -> Any:
        yield from super().keys(prompt)
        if prompt is Prompt.ASK_NUMBER:
            yield HASH


async def _gives(made: Any, call: ScriptedCall, say: Any, task: dict[str, Any]) -> None:
    backstage = DatabaseBackstage(made)
    words = Text({"en": "Words."})
    left = await Capture(declined=words, wait=words, declines_max=1, text_announced=True).run(call, backstage)
    say(left)
    if left == "charged":
        say(await AwaitSettlement(wait_max_s=task.get("settles_s", SETTLES_S)).run(call, backstage))


async def _api(made: Any, task: dict[str, Any], say: Any) -> None:
    """The edge takes these webhooks, one after the other, and says what it answered."""
    async with Inbox(made.pool) as inbox:
        edge = httpx.ASGITransport(app=Webhooks(made, inbox))
        async with httpx.AsyncClient(transport=edge, base_url="http://edge") as http:
            for body, signature in task["hooks"]:
                answer = await http.post(
                    "/webhooks/stripe", content=body.encode(), headers={"Stripe-Signature": signature}
                )
                say(str(answer.status_code))


async def _read(made: Any, task: dict[str, Any], say: Any) -> None:
    for body in task["bodies"]:
        async with made.pool.acquire() as connection, connection.transaction():
            unread = Unread(
                id=1, source="stripe", event_id="e", event_type="t", body=body.encode(), received_at=None, tries=0
            )
            await read.handle_webhook(made, connection, unread)
    say("read")


async def _reconcile(made: Any, task: dict[str, Any], say: Any) -> None:
    async with made.pool.acquire() as connection:
        found = await captures.in_doubt(connection, older_than_s=-1, limit=50)
        found += await captures.unsettled(connection, older_than_s=-1, limit=50)
    for one in found:
        await telephone.reconcile(made, one)
    say("reconciled")


ROLES = {"voice": _voice, "api": _api, "read": _read, "reconcile": _reconcile}


async def _child(task: dict[str, Any], say: Any) -> None:
    if task["step"]:
        arm(task["step"], signal.SIGSTOP if task.get("stops") else signal.SIGKILL)
    settings = StripeSettings(
        api_key=SecretStr(task["api_key"]),
        api_url=task["bank"],
        timeout_s=TIMEOUT_S,
        webhook_secrets=[SecretStr(bank_town.SECRET)],
    )
    gateway = Stripe(settings)
    async with db.open_pool(task["database"], size_max=3) as pool:
        sms = services.message_class("sms")
        made = services.make(pool, gateways=[gateway], messengers=[sms], capture__strict=False, capture__warm=0)
        try:
            await ROLES[task["role"]](made, task, say)
        finally:
            await gateway.close()


def _fork(task: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 0
    try:

        def say(word: str) -> None:
            _report({"task": task["task"], "said": word})

        asyncio.run(_child(task, say))
    except Exception as error:  # noqa: BLE001  # how it ended is what the test is told
        os.write(2, f"{task['task']}: {error!r}\n".encode())
        status = 1
    finally:
        os._exit(status)


def _report(told: dict[str, Any]) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())


def _watch(task: dict[str, Any]) -> None:
    """A process between forks the one that may die, waits for its end, and tells it: threads do not suit forks."""
    if os.fork():
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = _fork(task)
    _report({"task": task["task"], "pid": pid})
    _, status = os.waitpid(pid, 0)
    _report({"task": task["task"], "ended": os.waitstatus_to_exitcode(status)})
    os._exit(0)


def main() -> None:
    """See the module."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What is said belongs to the test alone.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        _watch(json.loads(line))


if __name__ == "__main__":
    main()
