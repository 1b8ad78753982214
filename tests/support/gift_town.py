"""A whole product that takes gifts by telephone, as processes of its own, and callers who give."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from support import card_keys, product, telephones
from support.raw_sip import RawSip
from tenderline.flows.spoken import Spoken, Words
from tenderline.store import db, lines
from tenderline.voice.prompts.pack import Prompts
from tenderline.voice.trial_phone import TrialPhone

LINE = "gifts"
HEARS_S = 30.0
ASK_AMOUNT = (
    "Please key in the amount of your gift in whole units, and then the pound key. The star key stands for the decimal"
    " point."
)
ASK_IF_RIGHT = ". We will text a receipt to the number that you call from. Press 1 if that is right, or 2 to change it."
DECLINED = "The bank did not accept that card. You may try another one."
THANKS = "Thank you. Your gift of"
NOTHING = "Nothing was charged. Somebody will help you."
GREETING = "Thank you for calling"
TROUBLE = "We cannot take cards at this moment."


@dataclass
class GiftTown:
    """The processes, and what callers need to know of them."""

    town: product.Town
    sip_port: int
    prompts: Prompts
    voice: asyncio.subprocess.Process
    worker: asyncio.subprocess.Process | None = None
    api: asyncio.subprocess.Process | None = None
    pids: set[int] = field(default_factory=set)
    host: str = "127.0.0.1"

    @property
    def at(self) -> tuple[str, int]:
        """Where it is called."""
        return self.host, self.sip_port

    def giver(self, number: int) -> Giver:
        """Somebody with a telephone number of her own."""
        return Giver(self, f"+1202555{number:04d}")


class Giver(TrialPhone):
    """A telephone in the hand of somebody who gives."""

    def __init__(self, gifts: GiftTown, caller: str) -> None:
        super().__init__(host=gifts.host)
        self.caller = caller
        self._gifts = gifts

    async def hears(self, text: str, within_s: float = HEARS_S) -> None:
        """Waits for these words."""
        await self.hear(await self._gifts.prompts.prepare(Spoken("en", (Words(text),))), within_s=within_s)

    async def asked(self, prompt: str) -> None:
        """Waits for a prompt of the card's room: for its first words."""
        await card_keys.asked(self, self._gifts.prompts, prompt)

    async def calls(self, line: str = LINE) -> None:
        """Dials, and is taken."""
        assert await self.dial(line, self._gifts.at, caller=self.caller) == 200

    async def names_amount(self, keys: str = "25#") -> None:
        """The question for the amount is being spoken, or comes."""
        await self.hears(ASK_AMOUNT)
        await self.press(keys)

    async def gives(self, line: str = LINE, keys: str = "25#") -> None:
        """From dialling to the first question for the card."""
        await self.calls(line)
        await self.press("1")
        await self.names_amount(keys)
        await self.hears("Your gift is")
        await self.hears(ASK_IF_RIGHT)
        await self.press("1")

    async def keys_card(self, number: str, code: str = "123", expiry: str = "1230") -> None:
        """Keys a card over the questions, each as soon as it is asked."""
        await self.asked("ask_number")
        await self.press(f"{number}#")
        await self.keys_rest(code, expiry)

    async def keys_rest(self, code: str = "123", expiry: str = "1230", *, code_twice: bool = True) -> None:
        """Confirms the number, and keys what is asked for then."""
        await card_keys.key_rest(self, self._gifts.prompts, code, expiry, code_twice=code_twice)


def free_udp_port(host: str) -> int:
    """A port for SIP that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def donation(changes: dict[str, str]) -> str:
    """The shipped flow, with pieces of its text replaced."""
    text = resources.files("tenderline.flows").joinpath("donation.toml").read_text("utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


async def _answers(at: tuple[str, int]) -> bool:
    with RawSip(at, host=at[0]) as raw:
        raw.send(raw.request("OPTIONS"))
        return await raw.answer(within_s=0.5) is not None


async def start_voice(town: product.Town, at: tuple[str, int], **more: Any) -> asyncio.subprocess.Process:
    """A voice process that answers."""
    voice = await town.start("voice", **more)
    await product.until(lambda: _answers(at), "the telephone to answer")
    return voice


async def prepare(database_url: str, flow: str | None = None) -> None:
    """The line that leads to the flow, and the telephones of two agents."""
    async with db.open_pool(database_url, size_max=2) as pool, pool.acquire() as connection, connection.transaction():
        if flow is not None:
            await lines.put_flow(connection, "donation", flow, by="test")
        await lines.put_line(
            connection, number=LINE, flow="donation", campaign="test", language="en", currency="USD", fund="roof",
            record=False, by="test",
        )  # fmt: skip
        for name, queue in (("anna", "general"), ("bob", "second")):
            await telephones.put(connection, name, queue)


@asynccontextmanager
async def open_gift_town(
    database_url: str,
    data_dir: Path,
    *,
    flow: str | None = None,
    logs: bool = False,
    host: str = "127.0.0.1",
    **settings: str,
) -> AsyncIterator[GiftTown]:
    """API, worker and voice, with the bank on the other side. `logs`: each writes its own, beside the data."""
    await prepare(database_url, flow)
    port = free_udp_port(host)
    wanted = {
        "VOICE__BIND_HOST": host,
        "VOICE__SIP_PORT": str(port),
        "VOICE__UNLIMITED_NETWORKS": f"127.0.0.0/8,{host}",
        "CAPTURE__ENABLED": "true",
        "CAPTURE__STRICT": "false",
        **settings,
    }
    async with product.open_town(database_url, data_dir, **wanted) as town:
        folder = data_dir / "logs" if logs else None
        if folder is not None:
            folder.mkdir(exist_ok=True)

        def log(name: str) -> dict[str, Any]:
            return {"log": folder / f"{name}.log"} if folder is not None else {}

        api, worker, voice = await asyncio.gather(
            town.start("api", **log("api")),
            town.start("work", **log("work")),
            start_voice(town, (host, port), **log("voice")),
        )
        made = GiftTown(town, port, Prompts(data_dir), voice, worker, api, {api.pid, worker.pid, voice.pid}, host)
        try:
            yield made
        finally:
            for one in (made.voice, made.worker, made.api):
                if one is not None:
                    await town.stop(one)


def as_root(*words: str) -> tuple[str, ...]:
    """A command that must read the memory of others."""
    return words if os.geteuid() == 0 else ("sudo", "-n", "--preserve-env", *words)
