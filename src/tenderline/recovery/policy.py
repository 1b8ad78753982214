"""The steps by which a failed payment is asked for, from `policies/*.toml`: versioned data, refused when wrong."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

import msgspec

from tenderline.core.errors import ConfigurationError

STEPS_MAX = 20
CONTACT_KINDS = {"sms": "phone", "email": "email"}
"""Which kind of address each channel needs."""


class InvalidPolicyError(ConfigurationError):
    """A recovery policy cannot be used; the message names the file and what is wrong."""

    code = "invalid_policy"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One contact, `after_h` hours after the case was opened, on the first of `channels` that is possible."""

    after_h: float
    channels: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole sequence."""

    name: str
    version: int
    patience_days: int
    step: tuple[Step, ...]

    @property
    def label(self) -> str:
        """As it is written into the case, so that a later reader knows by what it was decided."""
        return f"{self.name}@{self.version}"


def parse(file: str, text: str) -> Policy:
    """The policy of a TOML text; raises `InvalidPolicyError` naming the file and the reason."""
    try:
        policy = msgspec.convert(tomllib.loads(text), Policy)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidPolicyError(f"{file}: {error}") from error
    if not 1 <= len(policy.step) <= STEPS_MAX:
        raise InvalidPolicyError(f"{file}: a policy has 1 to {STEPS_MAX} steps")
    hours = [step.after_h for step in policy.step]
    if hours != sorted(hours) or hours[0] < 0:
        raise InvalidPolicyError(f"{file}: steps must be in the order of after_h, from 0 on")
    for step in policy.step:
        if not step.channels or (unknown := set(step.channels) - set(CONTACT_KINDS)):
            known = ", ".join(sorted(CONTACT_KINDS))
            raise InvalidPolicyError(f"{file}: unknown channel {sorted(unknown)[0]!r}; known are {known}")
    return policy


@cache
def default() -> Policy:
    """The policy that comes with the product."""
    file = resources.files("tenderline.recovery").joinpath("policies", "default.toml")
    return parse("policies/default.toml", file.read_text("utf-8"))
