"""What becomes of a call of ours, written into its attempt: in order with its timeline, and safe to write twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from tenderline.core.events import ContactPointRejected
from tenderline.store import cases, events, outcomes, people
from tenderline.store.attempts import Leased
from tenderline.store.db import Connection, Pool
from tenderline.store.outcomes import HandedOver
from tenderline.voice.placing import Unplaced
from tenderline.voice.timeline import Timeline

PROVIDER: Final = "telephone"
TRIES_MAX: Final = 1_000
"""Tries on which nobody was called are bounded by the call's own end, not by their number."""


class Outcome:
    """Of one attempt. Nothing here waits for the database but `hand_over`."""

    def __init__(self, pool: Pool, timeline: Timeline, leased: Leased, conversation_id: UUID) -> None:
        self._pool, self._timeline = pool, timeline
        self._leased, self._ref = leased, str(conversation_id)
        self._is_settled = False

    @property
    def is_settled(self) -> bool:
        """Whether the last word is written."""
        return self._is_settled

    async def hand_over(self) -> bool:
        """The last look before dialling: False when the attempt is not ours any more, or news came. From here on a
        crash leaves the attempt in doubt, and nobody calls again by itself."""
        message = HandedOver(to=self._leased.address, text=f"a call: {self._leased.template}")
        ours = await outcomes.hand_over(self._pool, [(self._leased, PROVIDER, message)])
        return self._leased.id in ours and self._leased.may_send()

    def not_placed(self, why: str, *, again_after_s: float) -> None:
        """No telephone rang: it is planned again."""
        self._is_settled = True
        leased = self._leased

        async def write(connection: Connection) -> None:
            await outcomes.record_not_sent(connection, leased, why, again_after_s=again_after_s, tries_max=TRIES_MAX)

        self._timeline.put(write)

    def ringing(self) -> None:
        """The telephone rings: the person was contacted."""
        leased, ref = self._leased, self._ref

        async def write(connection: Connection) -> None:
            recorded = await outcomes.record_accepted(connection, leased, PROVIDER, ref, receipt_poll_after_s=None)
            if recorded and leased.case_id is not None:
                await cases.count_contact(connection, leased.person_id, leased.case_id)

        self._timeline.put(write)

    def talked(self, *, person: bool) -> None:
        """Somebody or something answered; `person`: it was spoken with a person."""
        leased, at = self._leased, datetime.now(UTC)

        async def write(connection: Connection) -> None:
            await outcomes.record_talk(connection, leased, connected_at=at, conversation_at=at if person else None)

        self._timeline.put(write)

    def unplaced(self, found: Unplaced, *, again_after_s: float) -> None:
        """Nobody is on the line."""
        if found.why == "not_sent":
            self.not_placed(found.detail, again_after_s=again_after_s)
        elif found.why == "unknown":
            self._in_doubt(found.detail)
        else:
            self.settle("failed", found.detail, number_is_dead=found.number_is_dead)

    def _in_doubt(self, why: str) -> None:
        self._is_settled = True
        leased = self._leased

        async def write(connection: Connection) -> None:
            await outcomes.record_unknown(connection, leased, why, can_be_asked=False)

        self._timeline.put(write)

    def settle(self, state: str, why: str | None, *, number_is_dead: bool = False) -> None:
        """The last word: `delivered` when the call said what it had to say, else `failed`."""
        self._is_settled = True
        leased, ref = self._leased, self._ref

        async def write(connection: Connection) -> None:
            await outcomes.apply_receipt(
                connection,
                reference=leased.id,
                provider=PROVIDER,
                provider_ref=ref,
                state=state,
                why=why,
                receipt_poll_after_s=None,
            )
            if number_is_dead and await people.mark_unusable(
                connection, leased.person_id, leased.contact_point_id, why or "the number is not in service"
            ):
                told = ContactPointRejected(person_id=leased.person_id, channel=people.PHONE, why=why or "")
                await events.append(connection, [told])

        self._timeline.put(write)
