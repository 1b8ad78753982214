"""The telephone that an agent's browser is: it rings, is taken or not, talks, and comes back after a reload.

The path to the browser is there before anybody calls, so taking a call takes no time. A path that breaks in mid-call is
waited for: the caller hears silence, and the next path of the same agent goes on with the same call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

import structlog

from tenderline.core.ids import uuid7
from tenderline.store.browser_phones import State, Wanted
from tenderline.voice import presence
from tenderline.voice.browser.leg import BrowserLeg
from tenderline.voice.browser.path import BrowserPath, PathState

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LOOK_EVERY_S: Final = 0.3
"""So often it is looked whether a browser that rings is still there. A call that is put through by itself is so the
first time: enough for a page to show that somebody comes."""

RETURN_S: Final = 5.0

T = TypeVar("T")


class BrowserParty:
    """An agent's browser on a call: what `Party` is for a telephone. `close` hangs up."""

    def __init__(self, leg: BrowserLeg) -> None:
        self._leg = leg
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_hold: Callable[[bool], None] | None = None
        leg.on_lost = self.hang_up

    @property
    def leg(self) -> BrowserLeg:
        """The audio."""
        return self._leg

    @property
    def is_gone(self) -> bool:
        """Whether the agent has hung up, stayed away for too long, or we hung up."""
        return self._gone.done()

    def hang_up(self) -> None:
        """The call ends from the agent's side; twice is no error."""
        if not self._gone.done():
            self._gone.set_result(None)
        self._leg.be_quiet()

    async def gone(self) -> None:
        """Returns when the agent is gone."""
        await asyncio.wait((self._gone,))

    async def while_there(self, work: Awaitable[T]) -> T:
        """The result of `work`; raises `CallEndedError` as soon as the agent is gone."""
        return await presence.while_there(self._gone, work)

    def close(self) -> None:
        """Hangs up and frees the media; twice is no error."""
        self.hang_up()
        self._leg.close()


class BrowserPhone:
    """Of one agent. `publish` is called whenever something changed that her page should know."""

    def __init__(
        self,
        name: str,
        *,
        make_leg: Callable[[], BrowserLeg],
        publish: Callable[[BrowserPhone], None],
        auto_answer: bool,
    ) -> None:
        self.name = name
        self.taken = False
        """Reserved for a call, from before it rings to after it ended."""
        self.lost_at_s = time.monotonic()
        self._make_leg, self._publish, self._auto_answer = make_leg, publish, auto_answer
        self.session_id: UUID | None = None
        self._path: BrowserPath | None = None
        self._party: BrowserParty | None = None
        self._call_id: UUID | None = None
        self._caller: str | None = None
        self._ringing: asyncio.Future[bool] | None = None
        self.is_leased = True
        self.since = datetime.now(UTC)
        self._told: State = "connecting"

    @property
    def is_reachable(self) -> bool:
        """Whether a call could ring here: the browser is connected and its page is alive."""
        return self._path is not None and self._path.state == "connected" and self.is_leased

    @property
    def is_coming_back(self) -> bool:
        """Whether a page that was reloaded may still be on its way: callers are not told yet that nobody is there."""
        return time.monotonic() - self.lost_at_s < RETURN_S

    @property
    def is_there(self) -> bool:
        """Whether she is reached by it: connected, on a call, or away only for a moment."""
        return self.is_reachable or self.is_on_call or self.is_coming_back

    @property
    def is_on_call(self) -> bool:
        """Whether a call lasts, be the browser there or not."""
        return self._party is not None

    @property
    def party(self) -> BrowserParty:
        """The call that lasts."""
        assert self._party is not None, "no call lasts"
        return self._party

    @property
    def call_id(self) -> UUID | None:
        """Of the call that rings or lasts."""
        return self._call_id

    @property
    def caller(self) -> str | None:
        """Who calls."""
        return self._caller

    @property
    def state(self) -> State:
        """How it stands, in the words of the row."""
        connected = self._path is not None and self._path.state == "connected"
        if self._party is not None:
            return "talking" if connected else "away"
        if self._ringing is not None:
            return "ringing"
        return "ready" if connected else "connecting"

    def take_path(self, session_id: UUID, path: BrowserPath) -> None:
        """A new session of the browser; the one before is over, a call goes on."""
        self.drop_path()
        self.session_id, self._path, self.is_leased = session_id, path, True
        path.on_state = self._path_became
        self._changed()

    def drop_path(self) -> None:
        """The session is over. A call that lasts waits for the next one."""
        path, self._path = self._path, None
        if path is not None:
            self.lost_at_s = time.monotonic()
            path.close()
        if self._party is not None:
            self._party.leg.take_path(None)
        self._changed()

    def _path_became(self, state: PathState) -> None:
        if state == "connected":
            if self._party is not None:
                self._party.leg.take_path(self._path)
            log.info("browser_connected", agent=self.name, on_call=self.is_on_call)
            self._changed()
        elif state == "lost":
            log.info("browser_lost", agent=self.name, on_call=self.is_on_call)
            self.drop_path()

    async def ring(self, *, ring_s: float, caller: str | None) -> BrowserParty | None:
        """Rings; the party when the agent takes the call, None when she declines, does not answer, or is gone."""
        assert self._ringing is None, "one call at a time"
        assert self._party is None, "one call at a time"
        self._call_id, self._caller = uuid7(), caller
        self._ringing = asyncio.get_running_loop().create_future()
        self._changed()
        taken = False
        try:
            async with asyncio.timeout(ring_s):
                taken = await self._is_taken(self._ringing)
        except TimeoutError:
            taken = False
        finally:
            self._ringing = None
            if not taken:
                self._call_id = self._caller = None
                self._changed()
        return self._taken() if taken else None

    async def _is_taken(self, ringing: asyncio.Future[bool]) -> bool:
        """What she says; no, too, as soon as her browser has been away for longer than a reload takes."""
        while not ringing.done():
            if not (self.is_reachable or self.is_coming_back):
                return False
            await asyncio.wait((ringing,), timeout=LOOK_EVERY_S)
            if self._auto_answer and self.is_reachable and not ringing.done():
                ringing.set_result(True)
        return ringing.result()

    def _taken(self) -> BrowserParty:
        leg = self._make_leg()
        if self._path is not None and self._path.state == "connected":
            leg.take_path(self._path)
        leg.begin()
        self._party = BrowserParty(leg)
        self._changed()
        return self._party

    def release(self) -> None:
        """The call is over."""
        party, self._party = self._party, None
        if party is not None:
            party.close()
        self._call_id = self._caller = None
        self._changed()

    def do(self, wanted: Wanted, call_id: UUID | None) -> None:
        """What the agent asked for by her page. Of a call that is over it means nothing."""
        if call_id is None or call_id != self._call_id:
            return
        if self._ringing is not None and not self._ringing.done():
            self._ringing.set_result(wanted == "accept")
        elif self._party is not None and wanted == "hang_up":
            self._party.hang_up()

    def _changed(self) -> None:
        if self.state != self._told:
            self.since, self._told = datetime.now(UTC), self.state
        self._publish(self)
