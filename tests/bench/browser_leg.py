"""`python -m tests.bench.browser_leg`: what a frame in and a frame out take a telephone's leg and a browser's leg.

One process, no load from outside, processor time only: so it says something on a busy machine, too. The system calls
of receiving are not in it; they are the same for both.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Callable

from tenderline.voice import packet
from tenderline.voice.browser import web_sdp
from tenderline.voice.browser.path import BrowserPath
from tenderline.voice.engine import MediaEngine
from tenderline.voice.leg import Leg
from tenderline.voice.sdp import Media
from tests.support.trial_browser import HOST, TrialBrowser, identity

FRAMES = 10_000
REPEATS = 5
PORTS = range(41_000, 42_000)
FAR = (HOST, 9_999)


def once(leg: Leg, receive: Callable[[bytes], None], packets: list[bytes]) -> float:
    """Microseconds for one frame in and one out."""
    began_s = time.process_time()
    for data in packets:
        leg._budget = FRAMES
        receive(data)
        leg._tick()
    return (time.process_time() - began_s) / len(packets) * 1e6


async def main() -> None:
    """Both legs in turn, some times."""
    engine, peer = MediaEngine(HOST, PORTS), TrialBrowser(identity())
    way = BrowserPath(HOST, engine.browser_socket(), identity(), (HOST,))
    peer.take(way.answer(web_sdp.read(peer.offer())))
    while not (way.state == "connected" and peer.is_connected):
        peer.turn()
        await asyncio.sleep(0.01)
    browser, telephone = engine.browser_leg(grace_s=3_600), engine.leg()
    browser.take_path(way)
    browser.begin()
    telephone.start(Media(*FAR, packet.PCMU, 101, "sendrecv"))
    for leg in (browser, telephone):
        engine.ticker.remove(leg)
    handshake, source = peer._handshake, peer.socket.getsockname()
    assert handshake is not None
    assert handshake.secured is not None
    frame = secrets.token_bytes(packet.FRAME_SAMPLES)
    took_us: dict[str, list[float]] = {"telephone": [], "browser": []}
    for repeat in range(REPEATS):
        numbers = range(repeat * FRAMES, (repeat + 1) * FRAMES)
        plain = [packet.write(0, n & 0xFFFF, n * packet.FRAME_SAMPLES, 77, frame) for n in numbers]
        wire = [handshake.secured.protect(one) for one in plain]
        way._budget = FRAMES + 1
        took_us["telephone"].append(once(telephone, lambda data: telephone._receive(data, FAR), plain))
        took_us["browser"].append(once(browser, lambda data: way._receive(data, source), wire))
    for name, runs in took_us.items():
        print(f"{name}: {statistics.median(runs):.1f} us for a frame in and a frame out (median of {REPEATS})")
    browser.close()
    telephone.close()
    way.close()
    peer.leave()


if __name__ == "__main__":
    asyncio.run(main())
