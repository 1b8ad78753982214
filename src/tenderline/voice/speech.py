"""Who listens for words: a port, and the recogniser that is reached by WebSocket (docs/how-to/distress.md).

A source gets the caller's 20 ms frames in mu-law off the media loop, through a queue with a bound: one that is slow
misses sound, and no call waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Protocol
from uuid import UUID

import aiohttp
import msgspec
import structlog

from tenderline.config import DistressSettings
from tenderline.core.errors import ConfigurationError
from tenderline.core.loops import goes_on
from tenderline.voice import codec
from tenderline.voice.packet import PCMU

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FRAMES_WAITING_MAX: Final = 250
"""Five seconds of sound."""
MESSAGE_BYTES_MAX: Final = 16 * 1024
TEXT_LENGTH_MAX: Final = 2_000
CONNECT_TIMEOUT_S: Final = 5.0
SEND_TIMEOUT_S: Final = 5.0
LAST_WORDS_S: Final = 2.0
HEARTBEAT_S: Final = 20.0
BACK_OFF_FIRST_S: Final = 0.25
BACK_OFF_MAX_S: Final = 30.0
PROTOCOL: Final = "tenderline.speech.v1"
_AWAY: Final = (OSError, TimeoutError, aiohttp.ClientError)


class SpeechUnavailableError(ConfigurationError):
    """Nobody can listen for words of distress as it is set; see distress.listen."""

    code = "speech.unavailable"


class Frames:
    """The queue between the media loop and a source: an `Ear`. The oldest sound goes when it is full."""

    def __init__(self, frames_max: int = FRAMES_WAITING_MAX) -> None:
        self._waiting: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self._frames_max = frames_max
        self.missed = 0
        self.is_over = False

    def hear(self, frame: bytes, payload_type: int) -> None:
        """20 ms, from the media loop."""
        if self._waiting.qsize() >= self._frames_max:
            self._waiting.get_nowait()
            self.missed += 1
        self._waiting.put_nowait((frame, payload_type))

    def end(self) -> None:
        """The call is over; twice is no error."""
        if not self.is_over:
            self.is_over = True
            self._waiting.put_nowait(None)

    def drop(self) -> None:
        """What waits is too old to be sent."""
        while not self._waiting.empty():
            if self._waiting.get_nowait() is None:
                self._waiting.put_nowait(None)
                return
            self.missed += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """In mu-law, until the call is over."""
        while (frame := await self._waiting.get()) is not None:
            yield frame[0] if frame[1] == PCMU else codec.convert(frame[0], frame[1], PCMU)
        self._waiting.put_nowait(None)


@dataclass(frozen=True, slots=True)
class Heard:
    """Words of the caller. A recogniser may still change what is not final."""

    text: str
    is_final: bool


OnHeard = Callable[[Heard], Awaitable[None]]


class SpeechSource(Protocol):
    """Listens to one call at a time each; many at once."""

    async def listen(self, conversation_id: UUID, language: str, frames: Frames, on_heard: OnHeard) -> None:
        """Until the frames end. Whatever goes wrong at the other side is its own matter: it raises nothing for that."""
        ...

    async def close(self) -> None:
        """Closes what is open to others."""
        ...


class _Word(msgspec.Struct, frozen=True, tag_field="type", tag="transcript"):
    text: Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
    is_final: bool = msgspec.field(name="isFinal", default=True)


class WebSocketRecogniser:
    """One connection for each call; a lost one is made anew after a pause that grows, as long as the call lasts."""

    def __init__(self, url: str, token: str | None, *, back_off_first_s: float = BACK_OFF_FIRST_S) -> None:
        self._url, self._token, self._first_s = url, token, back_off_first_s
        self._opened: aiohttp.ClientSession | None = None
        self._decoder = msgspec.json.Decoder(_Word)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None or self._opened.closed:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
            self._opened = aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False)
        return self._opened

    async def close(self) -> None:
        """Closes the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def listen(self, conversation_id: UUID, language: str, frames: Frames, on_heard: OnHeard) -> None:
        """As the port says."""
        failures = 0
        while goes_on() and not frames.is_over:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    socket = await self._session().ws_connect(
                        self._url, protocols=(PROTOCOL,), max_msg_size=MESSAGE_BYTES_MAX, heartbeat=HEARTBEAT_S
                    )
                try:
                    failures = await self._talk(socket, conversation_id, language, frames, on_heard, failures)
                finally:
                    await socket.close()
            except _AWAY as error:
                log.warning("recogniser_away", conversation=str(conversation_id), why=type(error).__name__)
            if frames.is_over:
                return
            failures += 1
            ceiling = min(BACK_OFF_MAX_S, self._first_s * 2.0 ** min(failures, 20))
            await asyncio.sleep(random.uniform(ceiling / 2, ceiling))  # noqa: S311  # spreading load is not a secret
            frames.drop()

    async def _talk(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        conversation_id: UUID,
        language: str,
        frames: Frames,
        on_heard: OnHeard,
        failures: int,
    ) -> int:
        """Until one side ends; how many failures in a row there are now: none once it said something."""
        start = {"type": "start", "conversationId": str(conversation_id), "language": language}
        start |= {"encoding": "mulaw", "sampleRate": 8000, "frameMs": 20}  # type: ignore[dict-item]
        await socket.send_str(msgspec.json.encode(start).decode())
        sending = asyncio.ensure_future(self._send(socket, frames))
        reading = asyncio.ensure_future(self._read(socket, on_heard))
        try:
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not reading.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORDS_S):
                        await asyncio.shield(reading)
        finally:
            for one in (sending, reading):
                one.cancel()
            said = await asyncio.gather(sending, reading, return_exceptions=True)
        for problem in said:
            if isinstance(problem, Exception):
                raise problem
        return 0 if said[1] is True else failures

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, frames: Frames) -> None:
        async for frame in frames:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await socket.send_bytes(frame)
        await socket.send_str('{"type":"stop"}')

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, on_heard: OnHeard) -> bool:
        """Whether anything was said that could be read."""
        has_said = False
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                word = self._decoder.decode(message.data)
            except msgspec.DecodeError:
                continue  # of another kind, or of a later version
            has_said = True
            await on_heard(Heard(word.text, word.is_final))
        return has_said


def source_of(settings: DistressSettings) -> SpeechSource | None:
    """As it is set; None for nobody. Raises `SpeechUnavailableError`."""
    if settings.listen == "websocket":
        if settings.recogniser_url is None:
            raise SpeechUnavailableError("distress.listen is websocket: set distress.recogniser_url to its address.")
        token = settings.recogniser_token.get_secret_value() if settings.recogniser_token is not None else None
        return WebSocketRecogniser(settings.recogniser_url, token)
    if settings.listen == "pocketsphinx":
        from tenderline.voice.local_speech import LocalKeywords  # what it needs is not installed usually

        return LocalKeywords()
    return None
