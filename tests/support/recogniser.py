"""A recogniser behind a WebSocket: it keeps what it is told, and says what a test wants."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web

from tenderline.voice.speech import PROTOCOL


class Recogniser:
    """Hangs up as often as a test wants."""

    def __init__(self) -> None:
        self.starts, self.frames, self.stops = [], [], 0
        self.says = asyncio.Queue()
        self.hang_ups = 0
        self.authorization = None
        self.heard = asyncio.Event()

    async def serve(self, request):
        self.authorization = request.headers.get("Authorization")
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        talking = asyncio.create_task(self._say(socket))
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                self.frames.append(message.data)
                self.heard.set()
                if self.hang_ups:
                    self.hang_ups -= 1
                    await socket.close()
            elif (told := json.loads(message.data))["type"] == "start":
                self.starts.append(told)
            else:
                self.stops += 1
                break
        talking.cancel()
        return socket

    async def _say(self, socket):
        while True:
            await socket.send_str(await self.says.get())


@asynccontextmanager
async def serving():
    other = Recogniser()
    app = web.Application()
    app.router.add_get("/ears", other.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield other, f"ws://127.0.0.1:{port}/ears"
    finally:
        await runner.cleanup()
