"""A recogniser behind a WebSocket: what it hears is acted on, and whatever it does no call notices."""

from __future__ import annotations

import asyncio
import sys

import pytest

from support import services as world_services
from support.live_calls import make_call
from support.recogniser import serving
from tenderline.config import DistressSettings
from tenderline.core.ids import uuid7
from tenderline.store import alerts
from tenderline.voice import codec
from tenderline.voice.ears import Ears
from tenderline.voice.engine import MediaEngine
from tenderline.voice.packet import PCMA, PCMU
from tenderline.voice.sdp import Media
from tenderline.voice.speech import Frames, Heard, SpeechUnavailableError, WebSocketRecogniser, source_of

FRAME = bytes([0x55]) * 160
NONSENSE = ("no json", '{"type":"vendor"}', '{"type":"transcript","text":7}')
WORDS = ('{"type":"transcript","text":"I am","isFinal":false}', '{"type":"transcript","text":"I am fine"}')


class Leg:
    """As much of a leg as an ear needs."""

    ear = None


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_frames_reach_the_recogniser_and_its_words_come_back(pool):
    heard = []
    async with serving() as (other, url):
        source, frames, call = WebSocketRecogniser(url, "secret"), Frames(), uuid7()

        async def on_heard(one):
            heard.append((one.text, one.is_final))

        listening = asyncio.create_task(source.listen(call, "en", frames, on_heard))
        frames.hear(FRAME, PCMU)
        frames.hear(FRAME, PCMA)
        await until(lambda: len(other.frames) == 2)
        for said in NONSENSE + WORDS:
            other.says.put_nowait(said)
        await until(lambda: len(heard) == 2)
        frames.end()
        await asyncio.wait_for(listening, 20)
        await source.close()
    assert heard == [("I am", False), ("I am fine", True)]
    assert other.frames == [FRAME, codec.convert(FRAME, PCMA, PCMU)]
    assert other.starts == [
        {"type": "start", "conversationId": str(call), "language": "en", "encoding": "mulaw", "sampleRate": 8000,
         "frameMs": 20}
    ]  # fmt: skip
    assert other.stops == 1
    assert other.authorization == "Bearer secret"


async def test_a_lost_connection_is_made_again_as_long_as_the_call_lasts():
    async with serving() as (other, url):
        other.hang_ups = 2
        source, frames = WebSocketRecogniser(url, None, back_off_first_s=0.01), Frames()

        async def on_heard(_):
            pass

        listening = asyncio.create_task(source.listen(uuid7(), "en", frames, on_heard))

        def speak():
            frames.hear(FRAME, PCMU)
            return len(other.starts) == 3

        await until(speak)
        frames.end()
        await asyncio.wait_for(listening, 20)
        await source.close()


async def test_a_recogniser_that_is_not_there_ends_with_the_call():
    source, frames = WebSocketRecogniser("ws://127.0.0.1:9/ears", None, back_off_first_s=0.01), Frames()

    async def on_heard(_):
        raise AssertionError

    listening = asyncio.create_task(source.listen(uuid7(), "en", frames, on_heard))
    frames.hear(FRAME, PCMU)
    frames.end()
    await asyncio.wait_for(listening, 20)
    await source.close()


def test_a_slow_source_misses_the_oldest_sound_and_holds_no_more():
    frames = Frames(frames_max=10)
    for _ in range(1_000):
        frames.hear(FRAME, PCMU)
    assert frames.missed == 990
    frames.end()
    frames.end()


async def test_a_word_on_the_line_is_an_alert_and_payment_is_off(pool):
    services = world_services.make(pool)
    call = await make_call(pool, "+12025550190")
    async with serving() as (other, url):
        ears, leg = Ears(services, WebSocketRecogniser(url, None)), Leg()
        ears.listen(call, leg, "en")
        leg.ear.hear(FRAME, PCMU)
        await other.heard.wait()
        other.says.put_nowait('{"type":"transcript","text":"they are forcing me"}')

        async def alerted():
            async with pool.acquire() as connection:
                return await alerts.open_ones(connection)

        async with asyncio.timeout(20):
            while not (found := await alerted()):
                await asyncio.sleep(0.02)
        leg.ear.end()
        await ears.close()
    assert found[0].detail["source"] == "speech"
    assert await pool.fetchval("SELECT payment_off_at FROM conversation WHERE id = $1", call) is not None


async def test_words_of_no_distress_that_are_not_kept_ask_the_database_for_nothing():
    done = asyncio.Event()

    class Source:
        async def listen(self, conversation_id, language, frames, on_heard):
            for text, is_final in (("I", False), ("I am", False), ("I am fine", True)):
                await on_heard(Heard(text, is_final))
            done.set()

        async def close(self):
            pass

    ears = Ears(world_services.make(None), Source())
    ears.listen(uuid7(), Leg(), "en")
    async with asyncio.timeout(20):
        await done.wait()
    await ears.close()


def test_nobody_listens_unless_it_is_set_and_what_is_missing_is_said(monkeypatch):
    assert source_of(DistressSettings()) is None
    with pytest.raises(SpeechUnavailableError, match="recogniser_url"):
        source_of(DistressSettings(listen="websocket"))
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(SpeechUnavailableError, match="pip install"):
        source_of(DistressSettings(listen="pocketsphinx"))


@pytest.mark.parametrize(
    "url", ["ws://speech.example.org/", "http://127.0.0.1/", "wss://user@host/", "wss://", "wss://h:x/"]
)
def test_callers_voices_go_nowhere_unsafe(url):
    with pytest.raises(ValueError, match=r"wss|cannot|cross"):
        DistressSettings(recogniser_url=url)


def test_a_wss_address_and_this_machine_are_taken():
    for url in ("wss://speech.example.org/v1", "ws://127.0.0.1:9000/x", "ws://localhost/x"):
        assert DistressSettings(recogniser_url=url).recogniser_url == url


async def test_an_ear_hears_the_party_every_20_ms_and_never_while_a_card_is_keyed_in():
    engine = MediaEngine("127.0.0.1", range(42_000, 42_100))
    leg, frames = engine.leg(), Frames()
    leg._media = Media("127.0.0.1", 9, PCMU, 101, "sendrecv")  # its clock stands still: the test is the clock
    leg.ear = frames

    def heard_in(ticks):
        before = frames._waiting.qsize()
        for _ in range(ticks):
            leg._tick()
        return frames._waiting.qsize() - before

    assert heard_in(10) == 10
    for peer_hears in (False, True):
        leg.mask(True, peer_hears=peer_hears)
        assert heard_in(10) == 0
        leg.mask(False)
        assert heard_in(5) == 5
    leg.close()
    assert frames.is_over
    assert leg.ear is None
