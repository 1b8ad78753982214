"""Recovery policies are data, and data that makes no sense is refused by name."""

import itertools

import pytest

from tenderline.recovery import policy
from tenderline.recovery.policy import InvalidPolicyError


def test_the_shipped_policy_is_gentle():
    steps = policy.default().step
    assert len(steps) <= 5
    gaps = [later.after_h - earlier.after_h for earlier, later in itertools.pairwise(steps)]
    assert all(gap >= 24 for gap in gaps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name='x'\nversion=1\npatience_days=1", "step"),
        ("name='x'\nversion=1\npatience_days=1\nstep=[]", "1 to"),
        ("name='x'\nversion=1\npatience_days=1\n[[step]]\nafter_h=0\nchannels=['fax']", "fax"),
        ("name='x'\nversion=1\npatience_days=1\n[[step]]\nafter_h=-1\nchannels=['sms']", "order"),
        ("name='x'\nversion=1\npatience_days=1\ntypo=1\n[[step]]\nafter_h=0\nchannels=['sms']", "typo"),
        ("name=", "p.toml"),
    ],
)
def test_a_policy_that_cannot_be_right_is_refused(text, said):
    with pytest.raises(InvalidPolicyError, match=said):
        policy.parse("p.toml", text)
