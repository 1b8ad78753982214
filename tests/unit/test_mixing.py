"""Several voices as one: what a mix of mu-law sounds like, and who hears whom, frame by frame."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.voice import codec
from tenderline.voice.mixing import SILENCE, Ear, Mix, Wiring, mix
from tenderline.voice.packet import FRAME_SAMPLES, PCMA, PCMU

FRAMES = st.binary(min_size=FRAME_SAMPLES, max_size=FRAME_SAMPLES)


class Leg:
    """What of a leg matters for who hears whom."""

    def __init__(self, heard: bytes = SILENCE, payload_type: int = PCMU) -> None:
        self.heard, self.told, self.payload_type = heard, SILENCE, payload_type
        self.masked = self.secret = self.is_listened_to = False
        self.peer = None

    def hears(self) -> bytes:
        if self.peer is None or self.peer.masked:
            return SILENCE
        return codec.convert(self.peer.heard, self.peer.payload_type, PCMU)


class Supervisor:
    def __init__(self, leg: Leg, mode: str) -> None:
        self.leg, self.mode = leg, mode


def values(frame):
    return codec.to_samples(frame, PCMU).astype(int)


@given(FRAMES, FRAMES)
def test_a_mix_is_the_sum_of_both_and_too_loud_is_cut_off(one, other):
    summed = np.clip(values(one) + values(other), -32_124, 32_124)
    assert np.all(np.abs(values(mix(one, other)) - summed) <= np.abs(summed) / 16 + 16)
    assert mix(one, other) == mix(other, one)


@given(FRAMES)
def test_silence_changes_nothing(one):
    assert mix(one, SILENCE) == mix(SILENCE, one) == one
    assert Mix(Leg(one), Leg()).heard == one


@given(FRAMES, FRAMES)
def test_a_mix_leaves_out_who_is_masked_and_knows_both_laws(one, other):
    hidden = Leg(one)
    hidden.masked = True
    assert Mix(hidden, Leg(other, PCMA)).heard == codec.convert(other, PCMA, PCMU)


@given(FRAMES, FRAMES, st.booleans(), st.booleans(), st.booleans())
def test_an_ear_hears_nothing_while_a_card_is_keyed_in(said, told, secret, masked, with_other):
    caller, agent = Leg(said), Leg(told)
    caller.told, caller.secret, caller.masked = told, secret, masked
    ear = Ear(caller, agent if with_other else None)
    assert ear.masked == (secret or masked)
    assert ear.heard == (SILENCE if secret or masked else mix(said, told))


@pytest.mark.parametrize(
    ("mode", "caller_hears", "agent_hears"), [("listen", "a", "c"), ("whisper", "a", "cs"), ("join", "as", "cs")]
)
def test_who_hears_whom_follows_the_mode(mode, caller_hears, agent_hears):
    voices = {name: bytes([code]) * FRAME_SAMPLES for name, code in (("c", 0x90), ("a", 0xA0), ("s", 0xB0))}
    caller, agent, eve = (Leg(voices[name]) for name in "cas")
    wiring, id = Wiring(caller), uuid4()

    def sounds(names):
        return Mix(*(Leg(voices[name]) for name in names)).heard

    wiring.listen(id, Supervisor(eve, mode))
    wiring.join(caller, agent, agent=agent)
    assert (caller.hears(), agent.hears()) == (sounds(caller_hears), sounds(agent_hears))
    caller.told = caller.hears()
    assert eve.hears() == sounds("ca")
    assert caller.is_listened_to
    caller.secret = True
    assert eve.hears() == SILENCE
    caller.secret = False
    target = Leg(bytes([0xC0]) * FRAME_SAMPLES)
    wiring.join(agent, target, agent=agent)
    assert caller.peer is None
    wiring.join(caller, agent, agent=agent)
    assert target.peer is None
    wiring.stop(id)
    assert (caller.peer, agent.peer, eve.peer, caller.is_listened_to) == (agent, caller, None, False)
    wiring.part()
    assert caller.peer is agent.peer is None
