"""A gateway for card benchmarks, as a process: takes cards over TLS and notes when each request came and what it held.

`python -m tests.bench.card_vault CERTIFICATE KEY` says its port, and for each line of input what came since then, as
JSON: the instant of the monotonic clock, which all processes of a machine share, and the number and code.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time

ANSWER_BYTES_MAX = 64 * 1024
_LENGTH = re.compile(rb"content-length: *([0-9]{1,6})", re.IGNORECASE)


class Vault:
    """What came since it was asked last."""

    def __init__(self) -> None:
        self.came: list[tuple[float, str, str]] = []
        self._count = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request on one connection, as the product makes them."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            came_at_s = time.monotonic()
            length = _LENGTH.search(head)
            body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
            self.came.append((came_at_s, body["card_number"], body["cvv"]))
            self._count += 1
            answer = json.dumps({"token": f"v1.bench-{self._count:x}z"}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer))
            await writer.drain()
        finally:
            writer.close()


async def main() -> None:
    """See the module."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:3])
    vault = Vault()
    server = await asyncio.start_server(vault.take, "127.0.0.1", 0, ssl=context, limit=ANSWER_BYTES_MAX, backlog=500)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            came, vault.came = vault.came, []
            print(json.dumps(came), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
