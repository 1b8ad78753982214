"""One process of the load generator: posts signed webhooks over connections that stay open, and times each answer.

`python -m tests.bench.client`: a job comes as a line of JSON, `ready` is answered when all requests are made, the line
`go` starts it, its result is a line of JSON. No event loop and no HTTP library: the less it does between two requests,
the less it takes from the server, which has to share the machine with it.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import Counter

import msgspec

from tests.bench import events

STALL_TIMEOUT_S = 60.0
ANSWER_BYTES_MAX = 64 * 1024


class Job(msgspec.Struct, kw_only=True):
    """What to post. `rate_per_s` 0 is a closed loop: each connection posts again as soon as it was answered."""

    port: int
    secret: str
    prefix: str
    connections: int
    count: int
    seconds_max: float
    shape: events.Shape
    rate_per_s: float = 0.0
    numbers: list[str] = []


class Outcome(msgspec.Struct, kw_only=True):
    """What came of it. Instants are seconds since the epoch."""

    statuses: dict[str, int]
    latencies_ms: list[float]
    started_at: float
    ended_at: float
    cpu_s: float


class _Connection:
    """One keep-alive connection with at most one request on its way."""

    __slots__ = ("_answer", "since", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), STALL_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since = 0.0
        self._answer = b""

    def post(self, request: bytes, since: float) -> None:
        self.since = since
        self.socket.sendall(request)

    def status(self) -> str | None:
        """The status of the answer once all of it is here."""
        part = self.socket.recv(ANSWER_BYTES_MAX)
        if not part:
            raise ConnectionError("the server closed a connection in the middle of an answer")
        self._answer += part
        head, end, content = self._answer.partition(b"\r\n\r\n")
        if not end:
            return None
        _, named, length = head.lower().partition(b"content-length:")
        if not named or len(content) < int(length.split(b"\r\n", 1)[0]):
            return None
        self._answer = b""
        return head[9:12].decode("ascii")


def _closed_loop(
    connections: list[_Connection], requests: list[bytes], seconds_max: float
) -> tuple[Counter[str], list[float]]:
    statuses: Counter[str] = Counter()
    latencies_ms: list[float] = []
    waiting = {connection.socket.fileno(): connection for connection in connections}
    poll = select.epoll()
    left = iter(requests)
    until = time.perf_counter() + seconds_max
    busy = 0
    for connection, request in zip(connections, left, strict=False):
        poll.register(connection.socket, select.EPOLLIN)
        connection.post(request, time.perf_counter())
        busy += 1
    with poll:
        while busy:
            ready = poll.poll(STALL_TIMEOUT_S)
            if not ready:
                raise TimeoutError("no answer came for a minute")
            for descriptor, _ in ready:
                connection = waiting[descriptor]
                status = connection.status()
                if status is None:
                    continue
                now = time.perf_counter()
                latencies_ms.append((now - connection.since) * 1000)
                statuses[status] += 1
                following = next(left, None) if now < until else None
                if following is None:
                    busy -= 1
                else:
                    connection.post(following, now)
    return statuses, latencies_ms


def _open_loop(
    connections: list[_Connection], requests: list[bytes], rate_per_s: float
) -> tuple[Counter[str], list[float]]:
    """Posts at a constant rate, whatever the answers do; a request that finds no free connection waits, and counts
    from the instant at which it should have left."""
    statuses: Counter[str] = Counter()
    latencies_ms: list[float] = []
    idle = list(connections)
    busy: dict[socket.socket, _Connection] = {}
    start = time.perf_counter()
    sent = 0
    while len(latencies_ms) < len(requests):
        now = time.perf_counter()
        while idle and sent < len(requests) and start + sent / rate_per_s <= now:
            connection = idle.pop()
            connection.post(requests[sent], start + sent / rate_per_s)
            busy[connection.socket] = connection
            sent += 1
        pause_s = STALL_TIMEOUT_S
        if idle and sent < len(requests):
            pause_s = max(0.0, start + sent / rate_per_s - time.perf_counter())
        # select, for it waits to the microsecond where epoll rounds up to the millisecond
        readable, _, _ = select.select(busy, (), (), pause_s)
        if not readable and pause_s == STALL_TIMEOUT_S:
            raise TimeoutError("no answer came for a minute")
        for one in readable:
            connection = busy[one]
            status = connection.status()
            if status is not None:
                latencies_ms.append((time.perf_counter() - connection.since) * 1000)
                statuses[status] += 1
                idle.append(busy.pop(one))
    return statuses, latencies_ms


def _requests(job: Job) -> list[bytes]:
    secret = job.secret.encode()
    numbers = job.numbers or [""] * job.count
    return [
        events.request(job.port, secret, events.body(job.shape, events.serial(job.prefix, index), number))
        for index, number in enumerate(numbers)
    ]


def main() -> None:
    """One job, then the end."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    requests = _requests(job)
    connections = [_Connection(job.port) for _ in range(job.connections)]
    print("ready", flush=True)
    if sys.stdin.readline().strip() != "go":
        return
    started_at, cpu_s = time.time(), time.process_time()
    if job.rate_per_s:
        statuses, latencies_ms = _open_loop(connections, requests, job.rate_per_s)
    else:
        statuses, latencies_ms = _closed_loop(connections, requests, job.seconds_max)
    outcome = Outcome(
        statuses=dict(statuses),
        latencies_ms=latencies_ms,
        started_at=started_at,
        ended_at=time.time(),
        cpu_s=time.process_time() - cpu_s,
    )
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
