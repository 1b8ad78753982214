"""The stateful Stripe server behind the bank: localstripe, run as a program of its own and reached over HTTP only.

It listens on a loopback socket that is opened here and handed over, so there is no free port to race for. Its store
lives in its memory alone: as it comes, it would write all of it to one file under /tmp, shared by every such process on
the machine, at each request.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections import deque
from typing import Final

import aiohttp
import stripe
from yarl import URL

from tenderline_sandbox.bank_wire import TIMEOUT_S, Answer

_START_S_MAX: Final = 15.0
_STOP_S_MAX: Final = 3.0
_ASK_AGAIN_S: Final = 0.05
_STDERR_LINES_KEPT: Final = 20

# Runs in the child. The kernel kills it when its parent dies, even by SIGKILL; the check after it closes the gap
# between fork and prctl. PR_SET_PDEATHSIG is 1.
_LAUNCHER: Final = """
import os, signal, socket, sys
parent, listener = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != parent:
    raise SystemExit("the parent is gone")
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda store: None
web.run_app(server.app, sock=listener, print=None, access_log=None, shutdown_timeout=0.5)
"""


class BankProcessError(RuntimeError):
    """The Stripe server could not be started; the message says what it printed."""


class Localstripe:
    """The process, an HTTP connection to it, and the official SDK pointed at it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._key = f"sk_test_{secrets.token_hex(12)}"
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
        self._stderr_reader: asyncio.Task[None] | None = None
        self._http: aiohttp.ClientSession | None = None
        self._sdk_http: stripe.AIOHTTPClient | None = None
        self._sdk: stripe.StripeClient | None = None
        self.url = ""

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the process and waits until it answers. Raises `BankProcessError`; then nothing is left running.

        The process lives no longer than the thread that calls this: on Linux the kernel sees to it.
        """
        try:
            await self._spawn()
            async with asyncio.timeout(_START_S_MAX):
                while not await self._answers():
                    if self._process is not None and self._process.returncode is not None:
                        raise BankProcessError(self._complaint())
                    await asyncio.sleep(_ASK_AGAIN_S)
        except TimeoutError:
            await self.stop()
            raise BankProcessError(f"no answer within {_START_S_MAX:.0f} s; {self._complaint()}") from None
        except BaseException:
            await self.stop()
            raise

    async def _spawn(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self._port))
            listener.listen(128)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            # Somebody else's program: it gets none of our secrets.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("TENDERLINE_")}
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", _LAUNCHER, str(os.getpid()), str(listener.fileno())),
                pass_fds=(listener.fileno(),),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        # The listener is closed here now: were it open, a dead process would look like a slow one.
        assert self._process.stderr is not None
        self._stderr_reader = asyncio.create_task(self._keep_stderr(self._process.stderr))
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), connector=aiohttp.TCPConnector(limit=64)
        )
        self._sdk_http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        self._sdk = stripe.StripeClient(
            self._key, base_addresses={"api": self.url}, http_client=self._sdk_http, max_network_retries=0
        )

    async def _keep_stderr(self, stream: asyncio.StreamReader) -> None:
        while block := await stream.read(4_096):
            self._stderr.extend(block.decode(errors="replace").splitlines())

    def _complaint(self) -> str:
        last = " | ".join(self._stderr) or "it printed nothing"
        return f"localstripe did not start (is the extra `sandbox` installed?): {last}"

    async def _answers(self) -> bool:
        try:
            return (await self.request("GET", "/v1/plans?limit=1", time_out_s=1.0)).succeeded
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    @property
    def sdk(self) -> stripe.StripeClient:
        """The official SDK, past the bank's faults: for what the sandbox itself does at the bank."""
        if self._sdk is None:
            raise BankProcessError("the bank has not been started")
        return self._sdk

    async def request(
        self, method: str, path_and_query: str, body: bytes = b"", *, time_out_s: float = TIMEOUT_S
    ) -> Answer:
        """One request with our own key, a form as body. Raises what aiohttp raises, and `TimeoutError`."""
        if self._http is None:
            raise BankProcessError("the bank has not been started")
        headers = {"Authorization": f"Bearer {self._key}"}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        async with self._http.request(
            method,
            URL(self.url + path_and_query, encoded=True),  # as it came: not to be tidied into another address
            data=body or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=time_out_s),
            allow_redirects=False,
        ) as response:
            return Answer(response.status, await response.read())

    async def send_webhooks_to(self, url: str, secret: str) -> None:
        """Registers (or moves) the one place its events are posted to."""
        assert self._http is not None
        target = {"url": url, "secret": secret}
        async with self._http.post(f"{self.url}/_config/webhooks/relay", json=target) as response:
            response.raise_for_status()

    async def forget_everything(self) -> None:
        """Empties its store."""
        assert self._http is not None
        async with self._http.delete(f"{self.url}/_config/data") as response:
            response.raise_for_status()

    async def stop(self) -> None:
        """Ends the process: asked, then made to. Safe to call twice, and after a start that failed."""
        http, self._http = self._http, None
        sdk_http, self._sdk_http, self._sdk = self._sdk_http, None, None
        if http is not None:
            await http.close()
        if sdk_http is not None:
            await sdk_http.close_async()  # type: ignore[no-untyped-call]
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_S_MAX):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        reader, self._stderr_reader = self._stderr_reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
