"""Idempotency keys: the same request under the same key is carried out once, and every repetition gets its answer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from tenderline_sandbox.bank_ledger import Bounded
from tenderline_sandbox.bank_wire import Answer, BankError

_KEYS_MAX: Final = 10_000
_KEY_CHARACTERS_MAX: Final = 255
_KEPT_S: Final = 24 * 3_600


@dataclass(frozen=True)
class _Entry:
    fingerprint: str
    since_s: float
    answer: Answer | None
    """None while the first request is being carried out."""


class IdempotencyKeys:
    """Keys of the last day and what was answered under them.

    As at Stripe, an answer is kept once the request was carried out, whether it went well or not (a declined card,
    an error inside); a request refused for its form is not, so the key can be used again with the mistake put right.
    """

    def __init__(self) -> None:
        self._entries: Bounded[_Entry] = Bounded(_KEYS_MAX)

    async def first_answer(
        self, key: str, method: str, path: str, body: bytes, carry_out: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer of the first such request; carries this one out when it is the first. Raises `BankError`."""
        if not 0 < len(key) <= _KEY_CHARACTERS_MAX:
            raise BankError(400, f"An idempotency key has at most {_KEY_CHARACTERS_MAX} characters.")
        fingerprint = hashlib.sha256(f"{method} {path}\n".encode() + body).hexdigest()
        entry = self._entries.get(key)
        now_s = time.monotonic()
        if entry is not None and now_s - entry.since_s < _KEPT_S:
            if entry.fingerprint != fingerprint:
                raise BankError(
                    400,
                    "This idempotency key was first used with other parameters or another address.",
                    kind="idempotency_error",
                )
            if entry.answer is None:
                raise BankError(
                    409, "A request with this idempotency key is being carried out.", code="idempotency_key_in_use"
                )
            return replace(entry.answer, headers={**entry.answer.headers, "Idempotent-Replayed": "true"})
        self._entries.put(key, _Entry(fingerprint, now_s, None))
        answer: Answer | None = None
        try:
            answer = await carry_out()
        finally:
            if answer is not None and (answer.succeeded or answer.status in (402, 500)):
                self._entries.put(key, _Entry(fingerprint, now_s, answer))
            else:
                self._entries.drop(key)
        return answer

    def clear(self) -> None:
        """Forgets every key."""
        self._entries.clear()
