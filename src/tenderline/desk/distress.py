"""What a call's page shows of distress: the alert about it, and that no payment is taken on it any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from tenderline.store import alerts, holds
from tenderline.store.db import Connection

SOURCES: Final = {
    "transcript": "heard on the call",
    "agent_words": "typed by the agent",
    "button": "said by the agent",
    "key": "by the caller's key",
    "speech": "heard on the call",
}


@dataclass(frozen=True, slots=True)
class DistressView:
    """Of one call. `alert`: the one that is open."""

    is_live: bool
    person_id: UUID | None
    payment_off_at: datetime | None
    why: str | None
    alert: alerts.Alert | None

    @property
    def source(self) -> str:
        """How it was noticed."""
        return SOURCES.get(str(self._detail.get("source")), "reported")

    @property
    def callback_at(self) -> datetime | None:
        """When she is called back."""
        said = self._detail.get("callback_at")
        return datetime.fromisoformat(said) if isinstance(said, str) else None

    @property
    def _detail(self) -> dict[str, Any]:
        return self.alert.detail if self.alert is not None else {}


async def read(connection: Connection, conversation_id: UUID) -> DistressView:
    """Of one call, which there is."""
    call = await holds.call(connection, conversation_id)
    assert call is not None, "the page has read it"
    found = [one for one in await alerts.of_conversation(connection, conversation_id) if one.kind == "distress"]
    return DistressView(
        call.ended_at is None, call.person_id, call.payment_off_at, call.payment_off_why, found[0] if found else None
    )
