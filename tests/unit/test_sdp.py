"""Session descriptions: what we take, what we answer, and what is refused with its reason."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.voice import sdp
from tenderline.voice.sdp import UnusableDescriptionError


def offer(*lines, host="IP4 192.0.2.7", formats="0 8 101", port=4000):
    return "\r\n".join(
        [
            "v=0",
            "o=- 1 1 IN IP4 192.0.2.7",
            "s=-",
            f"c=IN {host}",
            "t=0 0",
            f"m=audio {port} RTP/AVP {formats}",
            *lines,
            "",
        ]
    )


EVENTS = "a=rtpmap:101 telephone-event/8000"


def test_the_codec_is_the_first_of_the_other_side_that_we_have():
    assert sdp.read(offer(EVENTS)).payload_type == 0
    assert sdp.read(offer(EVENTS, formats="9 8 0 101")).payload_type == 8
    assert sdp.read(offer(EVENTS)).events_type == 101
    assert sdp.read(offer("a=rtpmap:96 telephone-event/8000", formats="8 96")).events_type == 96
    assert sdp.read(offer()).events_type is None


def test_a_number_means_what_the_description_says_it_means():
    with pytest.raises(UnusableDescriptionError, match=r"G\.711"):
        sdp.read(offer("a=rtpmap:0 opus/48000", formats="0"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no session description"),
        ("hello", "no session description"),
        (offer(formats="18"), "G.711"),
        (offer(host="IP4 example.org"), "an address, not a name"),
        (offer(port=70000), "no port"),
        (offer().replace("c=IN IP4 192.0.2.7\r\n", ""), "c= is missing"),
        (offer().replace("RTP/AVP", "RTP/SAVP"), "one audio stream"),
        (offer().replace("m=audio", "m=video"), "one audio stream"),
        (offer(port=0), "one audio stream"),
        ("v=0\r\n" + "a=x\r\n" * 500, "too long"),
        ("v=0\r\n" + "a=" + "x" * 9000, "too long"),
        (offer().replace("m=audio 4000 RTP/AVP 0 8 101", "m=audio"), "media line"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(text, why):
    with pytest.raises(UnusableDescriptionError, match=why):
        sdp.read(text)


@given(st.text(max_size=400))
def test_no_text_does_more_than_be_refused(text):
    with contextlib.suppress(UnusableDescriptionError):
        sdp.read("v=0\r\n" + text)


@pytest.mark.parametrize(
    ("said", "answered", "hold"),
    [
        ("sendrecv", "sendrecv", False),
        ("sendonly", "recvonly", True),
        ("recvonly", "sendonly", False),
        ("inactive", "inactive", True),
    ],
)
def test_directions_are_answered_by_their_mirror(said, answered, hold):
    media = sdp.read(offer(f"a={said}"))
    assert media.on_hold is hold
    assert f"a={answered}" in sdp.answer(media, "192.0.2.1", 5000, session=1)


def test_the_old_way_to_hold_is_one_too():
    assert sdp.read(offer(host="IP4 0.0.0.0")).on_hold


def test_an_answer_keeps_the_order_of_streams_and_takes_only_audio():
    text = offer(EVENTS).replace("m=audio", "m=video 9 RTP/AVP 31\r\nm=audio")
    answer = sdp.answer(sdp.read(text), "192.0.2.1", 5000, session=1)
    media = [line for line in answer.split("\r\n") if line.startswith("m=")]
    assert media == ["m=video 0 RTP/AVP 0", "m=audio 5000 RTP/AVP 0 101"]


def test_our_own_descriptions_are_read_by_ourselves_also_in_ipv6():
    for host in ("192.0.2.1", "2001:db8::1"):
        media = sdp.read(sdp.offer(host, 5000, session=1, events_type=101))
        assert (media.host, media.port, media.payload_type, media.events_type) == (host, 5000, 0, 101)


def test_towards_agents_no_keys_are_offered():
    assert "telephone-event" not in sdp.offer("192.0.2.1", 5000, session=1)
    assert "telephone-event" not in sdp.answer(sdp.read(offer(EVENTS)), "192.0.2.1", 5000, session=1, keys=False)
