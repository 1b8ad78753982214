"""Loops that run beside everything else, until they are told to end."""

from __future__ import annotations

import asyncio


def goes_on() -> bool:
    """False once the task that asks was told to end.

    A loop that outlives the errors of a database asks before each turn: giving a broken connection back may fail, and
    that error then stands in the place of the cancellation. Whoever closes the loop would wait for ever.
    """
    task = asyncio.current_task()
    assert task is not None, "it is asked from within a task"
    return not task.cancelling()
