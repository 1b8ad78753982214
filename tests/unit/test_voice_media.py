"""Media without sockets: codecs, packets, keys, playout and tones, under loss, reordering and nonsense."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.voice import codec, keys, packet, tones
from tenderline.voice.keys import KeyEvents
from tenderline.voice.packet import FRAME_SAMPLES, PCMA, PCMU
from tenderline.voice.playout import Playout
from tenderline.voice.reception import ReceptionStatistics
from tenderline.voice.registrar import Binding

QUIET = b"\xff" * FRAME_SAMPLES


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_every_code_survives_its_samples(law):
    codes = bytes(range(256))
    samples = codec.to_samples(codes, law)
    again = codec.to_samples(codec.from_samples(samples, law), law)
    assert (again == samples).all()


def test_the_tables_have_the_values_of_the_standard():
    # ITU-T G.711, tables 1 and 2: the largest steps, and zero.
    mu, a = codec.to_samples(bytes([0x80, 0x00, 0xFF]), PCMU), codec.to_samples(bytes([0xAA, 0x2A, 0xD5]), PCMA)
    assert mu.tolist() == [32124, -32124, 0]
    assert a.tolist() == [32256, -32256, 8]


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=400), st.sampled_from([PCMU, PCMA]))
def test_a_sample_comes_back_within_its_step(values, law):
    samples = np.array(values, dtype=np.int16)
    again = codec.to_samples(codec.from_samples(samples, law), law).astype(int)
    # The coarsest segment has steps of 1024; both laws clip a little below full scale.
    assert (np.abs(again - samples.astype(int)) <= 16 + np.abs(samples.astype(int)) // 15).all()


def test_one_law_becomes_the_other_by_the_nearest_step():
    codes = bytes(range(256))
    there = codec.to_samples(codec.convert(codes, PCMU, PCMA), PCMA).astype(int)
    here = codec.to_samples(codes, PCMU).astype(int)
    assert (np.abs(there - here) <= 16 + np.abs(here) // 15).all()


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_a_packet_or_nothing(data):
    found = packet.read(data)
    if found is not None:
        assert 0 <= found.payload_type < 128
        assert len(found.payload) <= len(data)


@given(
    st.integers(0, 127).filter(lambda one: not 64 <= one <= 95),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=200),
    st.booleans(),
)
def test_what_is_written_is_read(kind, sequence, timestamp, ssrc, payload, marker):
    data = packet.write(kind, sequence, timestamp, ssrc, payload, marker=marker)
    assert packet.read(data) == packet.Packet(kind, marker, sequence, timestamp, ssrc, payload)


def test_extension_padding_and_sources_are_left_out():
    body = b"sound"
    head = bytes([0x80 | 0x20 | 0x10 | 1, 0]) + bytes(10) + b"CSRC" + b"\xbe\xde\x00\x01" + b"ext!"
    found = packet.read(head + body + b"\x00\x00\x03")
    assert found is not None
    assert found.payload == body
    assert packet.read(head[:18]) is None
    assert packet.read(bytes([0xA0, 0]) + bytes(10) + b"\xff") is None


def test_reports_say_what_was_received_and_end_with_a_goodbye():
    received = packet.Reception(ssrc=7, lost_share=0.5, lost_packets=3, highest_sequence=70_000, jitter_samples=9)
    data = packet.report(
        1, sent_packets=5, sent_bytes=800, timestamp=9, now_unix_s=1.5, name=b"us", received=received, goodbye=True
    )
    assert packet.is_rtcp(data)
    assert len(data) % 4 == 0
    assert packet.says_goodbye(data)
    assert data[32] == 128  # half of 256
    quiet = packet.report(1, sent_packets=0, sent_bytes=0, timestamp=0, now_unix_s=0, name=b"us", received=None)
    assert not packet.says_goodbye(quiet)


@given(st.binary(max_size=100))
def test_malformed_reports_end(data):
    packet.says_goodbye(data)


def press(code, timestamp, packets=8):
    """The packets of one press: payloads with growing duration, the last three with the end bit."""
    grown = [bytes([code, 0x0A]) + (160 * (n + 1)).to_bytes(2, "big") for n in range(packets - 3)]
    return [(timestamp, payload) for payload in [*grown, *[bytes([code, 0x8A, 3, 32])] * 3]]


@given(st.text(keys.KEYS, min_size=1, max_size=30), st.data())
def test_each_press_counts_once_whatever_is_lost(pressed, data):
    events, heard = KeyEvents(), ""
    for number, key in enumerate(pressed):
        packets = press(keys.KEYS.index(key), 1600 * (number + 1))
        kept = data.draw(st.lists(st.sampled_from(packets), min_size=1, max_size=12))
        for timestamp, payload in kept:
            heard += events.read(timestamp, payload) or ""
    assert heard == pressed


def test_an_end_that_the_next_key_overtook_is_no_second_press():
    events = KeyEvents()
    first, second = press(4, 1600), press(2, 3200)
    arrived = [*first[:5], second[0], *first[5:], *second[1:]]
    assert [key for timestamp, payload in arrived if (key := events.read(timestamp, payload))] == ["4", "2"]


def test_a_press_of_which_all_came_too_late_is_not_put_in_the_wrong_place():
    events = KeyEvents()
    arrived = [*press(2, 3200), *press(4, 1600)]
    assert [key for timestamp, payload in arrived if (key := events.read(timestamp, payload))] == ["2"]


def test_timestamps_wrap_and_other_sources_begin_anew():
    events = KeyEvents()
    assert events.read(0xFFFFFFF0, press(1, 0)[0][1]) == "1"
    assert events.read(0x00000010, press(2, 0)[0][1]) == "2"
    events.forget()
    assert events.read(5, press(3, 0)[0][1]) == "3"


@given(st.binary(max_size=8))
def test_no_bytes_are_more_than_a_key_or_nothing(payload):
    assert KeyEvents().read(0, payload) in {None, *keys.KEYS}


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", "Signal= #\r\n", "#"),
        ("application/dtmf-relay;x=y", "signal=11", "#"),
        ("application/dtmf", "*", "*"),
        ("application/dtmf", "10", "*"),
        ("application/dtmf", "12", None),
        ("application/dtmf-relay", "Duration=5", None),
        ("text/plain", "5", None),
        ("application/dtmf", "", None),
    ],
)
def test_keys_of_sip_info(kind, body, key):
    assert keys.of_info(kind, body) == key


def frames_of(count, seed=1):
    chance = random.Random(seed)
    return [bytes(chance.randrange(256) for _ in range(FRAME_SAMPLES)) for _ in range(count)]


def test_packets_in_order_come_out_as_they_went_in_after_the_delay():
    sound, playout, out = frames_of(30), Playout(0xFF), []
    for number, frame in enumerate(sound):
        playout.write(1, 5_000 + 160 * number, frame)
        out.append(playout.read())
    out += [playout.read() for _ in range(2)]
    assert out[:2] == [QUIET, QUIET]
    assert out[2:] == sound


@pytest.mark.parametrize("size", [80, 160, 240, 320])
def test_packets_of_any_length_are_one_stream(size):
    sound = b"".join(frames_of(12))
    playout, out = Playout(0xFF), b""
    sent = 0
    for frame in range(14):
        while sent < len(sound) and sent <= frame * 160:
            playout.write(1, 100 + sent, sound[sent : sent + size])
            sent += size
        out += playout.read()
    assert sound in out


def test_swapped_packets_are_put_in_order_and_late_ones_dropped():
    sound, playout = frames_of(6), Playout(0xFF)
    for number in (0, 2, 1, 3):
        playout.write(1, 160 * number, sound[number])
    out = [playout.read() for _ in range(6)]
    assert out[2:6] == sound[:4]
    playout.write(1, 0, sound[0])
    assert playout.late_packets == 1


def test_what_is_lost_is_the_last_frame_again_and_then_silence():
    sound, playout = frames_of(2), Playout(0xFF)
    playout.write(1, 0, sound[0])
    out = [playout.read() for _ in range(8)]
    assert out == [QUIET, QUIET, sound[0], sound[0], sound[0], sound[0], QUIET, QUIET]
    assert playout.concealed_frames >= 5


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**32 - 1), st.binary(max_size=400)), max_size=40))
def test_whatever_arrives_each_read_is_one_frame(writes):
    playout = Playout(0xFF)
    for ssrc, timestamp, payload in writes:
        playout.write(ssrc, timestamp, payload)
        assert len(playout.read()) == FRAME_SAMPLES


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.randoms(use_true_random=False))
def test_with_a_tenth_lost_everything_else_is_heard_in_its_place(begin, seed, chance):
    sound, playout, out = frames_of(60, seed), Playout(0xFF), []
    lost = set()
    for number, frame in enumerate(sound):
        if number and chance.random() < 0.1:
            lost.add(number)
        else:
            playout.write(1, (begin + 160 * number) % 2**32, frame)
        out.append(playout.read())
    for number in range(58):
        if number not in lost:
            assert out[number + 2] == sound[number]


def test_a_burst_keeps_the_newest_and_the_memory_small():
    sound, playout = frames_of(200), Playout(0xFF)
    for number, frame in enumerate(sound):
        playout.write(1, 160 * number, frame)
    out = b"".join(playout.read() for _ in range(30))
    assert sound[-1] in out


def tone(low, high, frames=5, law=PCMU, level=6000):
    at = np.arange(frames * FRAME_SAMPLES)
    wave = level * (np.sin(2 * np.pi * low * at / 8000) + np.sin(2 * np.pi * high * at / 8000))
    data = codec.from_samples(wave.astype(np.int16), law)
    return [data[start : start + FRAME_SAMPLES] for start in range(0, len(data), FRAME_SAMPLES)]


LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_every_key_is_found_in_the_audio(law):
    for row, low in enumerate(LOW):
        for column, high in enumerate(HIGH):
            found = tones.find(tone(low, high, law=law), [law] * 5)
            assert set(found) == {tones.KEYS[row][column]}


def test_speech_silence_and_single_tones_are_no_keys():
    noise = frames_of(300, 3)
    assert not any(tones.find(noise, [PCMU] * 300))
    assert tones.find([QUIET], [PCMU]) == [None]
    assert not any(tones.find(tone(697, 697), [PCMU] * 5))


def test_nothing_of_a_key_passes_the_guard_and_speech_passes_whole():
    speech, pressed = frames_of(20, 4), tone(770, 1336, frames=6)
    guard, out = tones.Guard(QUIET), []
    for frame in [*speech, *pressed, *speech, *[QUIET] * 8]:
        out.append(guard.pass_on(frame))
        guard.heard(tones.find([frame], [PCMU])[0])
    assert not any(tones.find(out, [PCMU] * len(out)))
    assert not set(pressed) & set(out)
    assert out[3 : 3 + 17] == speech[:17]
    assert speech[-1] in out


def test_keys_in_the_audio_are_read_once_for_each_press():
    reader, heard = tones.ToneKeys(), ""
    for pressed in ("5", "5", "9"):
        for key in [pressed] * 4 + [None] * 2:
            heard += reader.heard(key) or ""
    assert heard == "559"


def test_losses_are_counted_as_the_standard_says():
    statistics = ReceptionStatistics()
    for sequence in [65534, 65535, 0, 2, 3, 5]:
        statistics.arrived(packet.Packet(0, False, sequence % 65536, 160 * sequence, 9, b"x" * 160))
    assert statistics.lost_packets == 2
    report = statistics.report()
    assert report is not None
    assert report.lost_packets == 2
    assert 0 < report.lost_share < 0.5
    assert statistics.arrived(packet.Packet(0, False, 1, 1, 10, b"x")) is True


@pytest.mark.parametrize(
    ("contact", "source", "is_direct"),
    [
        ("<sip:anna@192.0.2.7:5070>", ("192.0.2.7", 5070), True),
        ("<sip:anna@192.0.2.7:5070;transport=udp>;expires=60", ("192.0.2.7", 5070), True),
        ("<sip:anna@192.0.2.7>;expires=60", ("192.0.2.7", 5062), True),
        ("sip:192.0.2.7:5070", ("192.0.2.7", 5070), True),
        ("<sip:anna@[2001:db8::7]:5070>", ("2001:db8::7", 5070), True),
        ("<sip:anna@10.0.0.7:5070>", ("192.0.2.7", 5070), False),
        ("<sip:anna@192.0.2.7:5070>", ("192.0.2.7", 1025), False),
        ("<sip:anna@192.0.2.70:5070>", ("192.0.2.7", 5070), False),
        ("*", ("192.0.2.7", 5070), False),
    ],
)
def test_a_telephone_is_reached_by_every_node_when_nothing_translates_its_address(contact, source, is_direct):
    assert Binding("anna", "anna", source, contact, 0.0, "call", 1).is_direct == is_direct
