"""Asking a caller for keys: the prompt that a key cuts short, the patience, the second try. Shared by several steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tenderline.flows.call import Call
from tenderline.flows.spoken import Spoken

NO_INPUT = "no_input"
NO_MATCH = "no_match"


async def one_key(
    call: Call,
    prompts: Sequence[Spoken],
    keys: Collection[str],
    *,
    timeout_s: float,
    tries_max: int,
    invalid: Spoken | None = None,
    silence: Spoken | None = None,
    cut_by_key: bool = True,
) -> str:
    """One of `keys`, else `NO_INPUT` or `NO_MATCH`, whichever ended the last try.

    A key pressed ahead of the prompt counts. After a wrong one, what was pressed behind it is forgotten: it was
    meant for a menu that is not the one being heard.
    """
    failure = NO_INPUT
    for tried in range(tries_max):
        key = await _heard(call, prompts, timeout_s, cut_by_key)
        if key == "#" and tried == 0 and "#" not in keys:  # the end of a number that was full already
            key = await _heard(call, prompts, timeout_s, cut_by_key)
        if key in keys:
            return str(key)
        failure = NO_INPUT if key is None else NO_MATCH
        call.forget_keys()
        remark = silence if key is None else invalid
        if remark is not None and tried + 1 < tries_max:
            await call.say(remark, cut_by_key=True)
    return failure


async def _heard(call: Call, prompts: Sequence[Spoken], timeout_s: float, cut_by_key: bool) -> str | None:
    for prompt in prompts:
        if await call.say(prompt, cut_by_key=cut_by_key):
            break
    return await call.key(timeout_s=timeout_s)


async def digits(call: Call, prompt: Spoken, *, length_max: int, timeout_s: float, between_s: float) -> str | None:
    """What was keyed in up to `#`, a pause of `between_s` or `length_max`; `*` begins anew. None when nothing was."""
    typed = ""
    key = await _heard(call, [prompt], timeout_s, cut_by_key=True)
    if key == "#":  # the end of a number before this one that was full already
        key = await _heard(call, [prompt], timeout_s, cut_by_key=True)
    if key is None:
        return None
    # The bound is on keys, not on digits: somebody may clear for ever.
    for _ in range(length_max * 10):
        if key is None or key == "#":
            break
        if key == "*":
            typed = ""
        elif key.isdigit():  # A to D are on no ordinary telephone
            typed += key
        if len(typed) == length_max:
            break
        key = await call.key(timeout_s=between_s if typed else timeout_s)
    return typed
