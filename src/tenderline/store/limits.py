"""How often somebody may ask: fixed windows counted in Postgres, so that all API processes share one count."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from tenderline.core.errors import RateLimitedError
from tenderline.store.db import Connection, query

MINUTE_S = 60
WINDOW_MAX_S = 3600
SWEEP_EVERY = 200
"""On average, one request in so many also sweeps old windows away."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where somebody stands in the current window."""

    limit: int
    count: int
    reset_s: int
    """Whole seconds until the next window begins."""

    @property
    def remaining(self) -> int:
        """Requests left in this window."""
        return max(0, self.limit - self.count)

    @property
    def is_exceeded(self) -> bool:
        """Whether this request was one too many."""
        return self.count > self.limit

    def require_room(self) -> None:
        """Raises `RateLimitedError` when this request was one too many."""
        if self.is_exceeded:
            raise RateLimitedError(retry_after_s=max(1, self.reset_s))


def subject(kind: str, *parts: str) -> str:
    """A name for whoever is counted: hashed, because parts come from outside and may be addresses of people."""
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return f"{kind}:{hashlib.sha256(joined).hexdigest()[:32]}"


async def take(connection: Connection, of: str, *, limit: int, window_s: int = MINUTE_S) -> Window:
    """Counts one request of a `subject`. Outside a transaction: a request that fails has been made all the same."""
    assert not connection.is_in_transaction(), "a rolled back request must still count"
    assert 0 < window_s <= WINDOW_MAX_S, window_s
    row = await connection.fetchrow(query("limits", "take"), of, float(window_s))
    assert row is not None
    if random.randrange(SWEEP_EVERY) == 0:  # noqa: S311  # spreading work is not a secret
        await connection.execute(query("limits", "sweep"))
    return Window(limit, row["count"], row["reset_s"])


async def forgive(connection: Connection, of: str) -> None:
    """Forgets what was counted of a `subject`."""
    await connection.execute(query("limits", "forgive"), of)
