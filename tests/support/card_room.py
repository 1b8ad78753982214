"""A caller who keys a card when asked, and a vault in a process of its own, so that the test's memory holds no card."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from support import vaults
from support.memory_scan import Hidden
from support.receiver import make_certificate
from tenderline.cardholder.digits import Digits, luhn_ok
from tenderline.cardholder.messages import Ended, Policy, Prompt, Say
from tenderline.cardholder.room import Begin, Event, Frames, GatewayTarget, Room

WAIT_S = 20.0
HASH = 11
HOST = "localhost"


class OutsideVault:
    """A vault that runs elsewhere."""

    def __init__(self, kind: str, url: str, ca_file: Path, process: asyncio.subprocess.Process) -> None:
        self.kind = kind
        self.url = url
        self.ca_file = ca_file
        self._process = process

    async def counts(self, says: str = "") -> tuple[int, int]:
        """(requests, cards) so far; from now on it answers `says`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{says}\n".encode())
        requests, cards = (await self._process.stdout.readline()).split()
        return int(requests), int(cards)

    def begin(self, timeout_s: float = 5.0, policy: Policy | None = None) -> Begin:
        """What a capture with this vault needs."""
        target = {
            "kind": self.kind,
            "url": self.url,
            "api_key": vaults.KEYS[self.kind],
            "account": vaults.ACCOUNT,
            "ca_file": str(self.ca_file),
            "timeout_s": timeout_s,
        }
        return Begin(policy=policy or Policy(), gateway=GatewayTarget(**target), language="en")  # type: ignore[arg-type]


@asynccontextmanager
async def outside_vault(kind: str, folder: Path) -> AsyncIterator[OutsideVault]:
    """Runs one until the end of the block."""
    _, ca_file = make_certificate(folder, HOST)
    tests = Path(vaults.__file__).parents[1]
    run = "runpy.run_module('support.vaults', run_name='__main__')"
    code = f"import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); {run}"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        str(tests),
        kind,
        str(ca_file),
        str(ca_file.with_suffix(".key")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode().strip()
        yield OutsideVault(kind, url.replace("127.0.0.1", HOST), ca_file, process)
    finally:
        process.kill()
        await process.wait()


def hidden(*codes: int) -> Hidden:
    """These digits."""
    return Hidden(list(codes))


def a_number() -> Hidden:
    """A number of 15 digits that passes every check and belongs, as far as anybody knows, to nobody."""
    row = [3, 7, *(secrets.randbelow(10) for _ in range(12))]
    for last in range(10):
        digits = Digits(15)
        for code in (*row, last):
            digits.push(code)
        right = luhn_ok(digits)
        digits.wipe()
        if right:
            return Hidden([*row, last])
    raise AssertionError("one of ten digits is right")


class Caller:
    """Keys what is asked for. `events` is all that the room said."""

    def __init__(self, number: Hidden | None = None, code: Hidden | None = None) -> None:
        self.number = number or a_number()
        self.code = code or Hidden([secrets.randbelow(10) for _ in range(4)])
        self.events: list[Event] = []

    def keys(self, prompt: Prompt) -> Iterable[int]:
        """What she presses when she hears this."""
        match prompt:
            case Prompt.ASK_NUMBER:
                return self.number.keys()
            case Prompt.ASK_EXPIRY:
                return (1, 1, 3, 4)
            case Prompt.ASK_CODE | Prompt.ASK_CODE_AGAIN:
                return self.code.keys()
            case Prompt.CONFIRM_NUMBER | Prompt.CONFIRM_EXPIRY:
                return (1,)
        return ()

    async def call(self, room: Room, before: Callable[[int, Event], object] | None = None) -> Ended:
        """Until the end. `before` is told the count of events and the last one; "quiet" from it means no key."""
        while True:
            event = await asyncio.wait_for(room.next(), WAIT_S)
            self.events.append(event)
            quiet = before is not None and before(len(self.events), event) == "quiet"
            if isinstance(event, Ended):
                return event
            if isinstance(event, Say) and not quiet:
                for code in self.keys(event.prompt):
                    room.key(code)

    @property
    def prompts(self) -> list[str]:
        """What was asked and said."""
        return [event.prompt for event in self.events if isinstance(event, Say)]

    @property
    def sounds(self) -> list[bytes]:
        """What the child spoke itself."""
        return [event.ulaw for event in self.events if isinstance(event, Frames)]
