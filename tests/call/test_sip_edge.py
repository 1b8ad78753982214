"""What other people's telephones do: late and missing descriptions, holds, keys by INFO, nonsense, forgery."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from call.conftest import NUMBER, nothing_left
from support.raw_sip import RawSip
from support.sip_messages import TORTURE
from tenderline.voice import sip_stack, sip_text
from tenderline.voice.trial_phone import TrialPhone


@pytest.fixture
def at(node):
    return "127.0.0.1", node.endpoint.port


def the_call(node):
    (task,) = node._calls.values()
    return task.get_coro().cr_frame.f_locals["call"]


async def until(holds):
    """Waits until it is so."""
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.02)


async def pressed(node, keys):
    """Waits until these keys wait to be taken."""
    party = the_call(node).party
    await until(lambda: "".join(party._pressed) == keys)


async def ticked(leg, times):
    """Waits until the leg has had so many times its 20 ms."""
    begin = leg._ticks
    await until(lambda: leg._ticks >= begin + times)


async def audio_of(raw):
    """The next packet that comes to the telephone."""
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(raw.rtp, 2000), 15)


async def wait_step(node, pool, name):
    async with asyncio.timeout(10):
        while True:
            await node.timeline.written()
            row = await pool.fetchval("SELECT node FROM flow_step ORDER BY conversation_id DESC, ordinal DESC LIMIT 1")
            if row == name:
                return
            await asyncio.sleep(0.05)


async def test_a_codec_that_we_lack_is_refused(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            assert (await raw.invite(body=raw.description(formats="18 101"))).status == 488


async def test_a_late_description_is_taken_from_the_ack(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            answer = await raw.invite(body="", ack_body=raw.description())
            assert answer.status == 200
            assert "telephone-event" in answer.body
            assert len(await audio_of(raw)) == 172, "audio comes"
            assert await raw.bye() == 200


async def test_who_never_sends_a_description_is_hung_up_on(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            await raw.invite(body="")
            assert await raw.until_bye()


async def test_hold_stops_our_audio_and_the_end_of_it_begins_it_again(node, at, pool):
    async with nothing_left(node):
        with RawSip(at) as raw:
            answer = await raw.invite()
            media = raw.media_of(answer)
            raw.audio(media)
            held = await raw.invite(body=raw.description(direction="sendonly"))
            assert held.status == 200
            assert "a=recvonly" in held.body
            leg = the_call(node).party.leg
            await ticked(leg, 5)
            with suppress(BlockingIOError):
                while raw.rtp.recv(2000):
                    pass
            await ticked(leg, 15)
            with pytest.raises(BlockingIOError):
                raw.rtp.recv(2000)
            again = await raw.invite(body=raw.description())
            assert "a=sendrecv" in again.body
            assert await audio_of(raw)
            assert await raw.bye() == 200


async def test_a_reinvite_without_a_body_is_answered_with_our_offer_and_changes_nothing(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            await raw.invite()
            again = await raw.invite(body="", ack_body=raw.description())
            assert again.status == 200
            assert "m=audio" in again.body
            assert await audio_of(raw)
            assert await raw.bye() == 200


async def test_a_session_that_is_not_refreshed_ends(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            answer = await raw.invite(extra=[("Session-Expires", "90;refresher=uac"), ("Supported", "timer")])
            assert answer.first("session-expires") == "90;refresher=uac"
            assert answer.first("require") == "timer"
            the_call(node).party.dialog._session_timer.cancel()
            the_call(node).party.dialog.hang_up()  # what the timer does when nobody refreshes
            assert await raw.until_bye()


async def test_keys_by_info_count(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            await raw.invite(number="check")
            raw.send(raw.request("INFO", body="Signal=7\r\nDuration=160\r\n", kind="application/dtmf-relay"))
            assert (await raw.answer()).status == 200
            await pressed(node, "7")
            assert await raw.bye() == 200


async def test_cancel_before_the_answer_and_bye_right_after_it(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            raw.send(raw.request("CANCEL"))
            assert (await raw.answer()).status == 481
            await raw.invite()
            assert await raw.bye() == 200
            assert await raw.bye() in (200, 481)


async def test_strangers_dial_nobody_through_us(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            assert (await raw.invite(number="+442079460000")).status == 404
        with RawSip(at) as raw:
            await raw.invite()
            raw.send(raw.request("REFER", extra=[("Refer-To", "<sip:+442079460000@192.0.2.1>")]))
            assert (await raw.answer()).status == 405
            assert await raw.bye() == 200


async def test_a_caller_whose_telephone_takes_a_refer_is_handed_over_and_gone(node, at, pool):
    async with nothing_left(node), TrialPhone(on_call=None) as agent:
        await agent.register(at, "anna", "secret")
        with RawSip(at) as raw:
            media = raw.media_of(await raw.invite())
            raw.press(media, "3", timestamp=1600)
            refer = await raw.answer(method="REFER")
            assert refer.first("refer-to") == f"<sip:anna@127.0.0.1:{agent.port}>"
            raw.send(sip_text.respond(refer, 202, "Accepted", source=at, tag="x", extra=()))
            told = [("Event", "refer"), ("Subscription-State", "active")]
            for line in ("SIP/2.0 100 Trying", "SIP/2.0 200 OK"):
                raw.send(raw.request("NOTIFY", body=f"{line}\r\n", kind="message/sipfrag", extra=told))
                assert (await raw.answer()).status == 200
            assert await raw.until_bye()
    assert await pool.fetchval("SELECT exit FROM flow_step WHERE node = 'hand_over'") == "transferred"


async def test_requests_of_no_dialog_are_told_so(node, at):
    with RawSip(at) as raw:
        for method in ("BYE", "INFO", "NOTIFY"):
            raw.send(raw.request(method))
            assert (await raw.answer()).status == 481
        raw.send(raw.request("OPTIONS"))
        answer = await raw.answer()
        assert answer.status == 200
        assert "INVITE" in answer.first("allow")


async def test_after_every_torture_the_node_still_answers(node, at):
    chance = random.Random(5118)
    with RawSip(at) as raw:
        for data, _ in TORTURE.values():
            raw.send(data)
            raw.send(raw.request("OPTIONS"))
            while (answer := await raw.answer(within_s=10)) is not None and "OPTIONS" not in answer.first("cseq"):
                pass
            assert answer is not None
            assert raw.call_id == answer.first("call-id") or answer.status in (200, 400, 483, 416)
        seeds = [data for data, _ in TORTURE.values() if data]
        for number in range(3_000):
            data = bytearray(chance.choice(seeds)[:1200])
            for _ in range(chance.randrange(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            raw.send(bytes(data))
            if number % 50 == 0:
                await asyncio.sleep(0)
    with RawSip(at) as raw:
        options, answer = raw.request("OPTIONS"), None
        async with asyncio.timeout(30):
            while answer is None:  # by UDP everybody asks again
                raw.send(options)
                answer = await raw.answer(within_s=1)
        assert answer.status == 200
    assert sip_stack.FAILURES.count < 3_000


async def test_keys_and_audio_of_a_forged_source_are_not_heard(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw, RawSip(at, host="127.0.0.2") as forger:
            media = raw.media_of(await raw.invite(number="check"))
            leg = the_call(node).party.leg
            forger.press(media, "9", timestamp=1600)
            forger.audio(media, count=10)
            raw.press(media, "4", timestamp=3200)
            forger.press(media, "9", timestamp=4800)
            await pressed(node, "4")
            await until(lambda: leg.foreign_packets == 14)
            forger.press(media, "9", timestamp=6400, via=RawSip._bound("127.0.0.1"))
            await until(lambda: leg.foreign_packets == 16)
            await pressed(node, "4")
            assert await raw.bye() == 200


async def test_noise_floods_and_new_sources_of_sound_do_no_harm(node, at):
    chance = random.Random(1)
    async with nothing_left(node):
        with RawSip(at) as raw:
            media = raw.media_of(await raw.invite(number="check"))
            leg = the_call(node).party.leg
            for _ in range(300):
                raw.rtp.sendto(chance.randbytes(chance.randrange(0, 1400)), media)
            await ticked(leg, 10)
            raw.audio(media, count=5_000, ssrc=7)
            await until(lambda: leg.dropped_packets > 100)  # a hundred times the rate is not worked off
            await ticked(leg, 15)
            assert leg.reception.packets < 400
            for ssrc in (8, 9, 10):
                raw.audio(media, count=3, ssrc=ssrc, timestamp=chance.randrange(2**32))
                await ticked(leg, 5)
            await until(lambda: leg.reception.sources >= 3)
            await ticked(leg, 5)
            raw.press(media, "5", timestamp=999_999)
            await pressed(node, "5")
            assert await raw.bye() == 200


async def test_swapped_and_repeated_packets_of_keys_count_once(node, at):
    async with nothing_left(node):
        with RawSip(at) as raw:
            media = raw.media_of(await raw.invite(number="check"))
            for _ in range(3):
                raw.press(media, "1", timestamp=1600)
            raw.press(media, "2", timestamp=3200)
            raw.press(media, "1", timestamp=1600)
            raw.press(media, "2", timestamp=3200)
            raw.press(media, "3", timestamp=4800)
            await pressed(node, "123")
            assert await raw.bye() == 200


async def test_a_call_whose_audio_stops_is_ended(make_node, pool):
    node = await make_node(voice__media_timeout_s="1")
    async with nothing_left(node):
        with RawSip(("127.0.0.1", node.endpoint.port)) as raw:
            await raw.invite(number="check")
            assert await raw.until_bye()


async def test_what_the_network_vouches_for_is_kept(node, at, pool):
    import base64
    import json

    claims = base64.urlsafe_b64encode(json.dumps({"attest": "B", "orig": {"tn": "12025550100"}}).encode()).decode()
    identity = f"eyJhbGciOiJFUzI1NiJ9.{claims.rstrip('=')}.c2ln;info=<https://example.org/cert>;alg=ES256"
    async with nothing_left(node):
        with RawSip(at) as raw:
            await raw.invite(extra=[("Identity", identity)])
            assert await raw.bye() == 200
    assert await pool.fetchval("SELECT attestation FROM conversation") == "B, unchecked"


async def test_calls_over_ipv6(make_node, pool):
    node = await make_node(voice__bind_host="::1", voice__unlimited_networks="::1/128")
    async with nothing_left(node):
        with RawSip(("::1", node.endpoint.port), host="::1") as raw:
            answer = await raw.invite(number=NUMBER)
            assert answer.status == 200
            assert "c=IN IP6 ::1" in answer.body
            assert await audio_of(raw)
            assert await raw.bye() == 200
