"""The same server, but each webhook in a transaction of its own: what the inbox is measured against.

`python -m tests.bench.one_commit_each api` is `tenderline api` with one part exchanged. Requests do not wait for each
other: as many transactions run side by side as the pool has connections.
"""

from __future__ import annotations

from tenderline import cli, serve
from tenderline.core.webhooks import Envelope
from tenderline.store.db import query
from tenderline.store.inbox import CHANNEL, Inbox


class OneCommitEach(Inbox):
    """The inbox without its queue: the same statement, on whatever connection is free."""

    async def receive(self, source: str, envelope: Envelope) -> bool:
        """See `Inbox.receive`."""
        rows = await self._pool.fetch(
            query("inbox", "receive"),
            [source],
            [envelope.event_id],
            [envelope.event_type],
            [int(envelope.urgency)],
            [envelope.subject],
            [envelope.body],
            CHANNEL,
        )
        return bool(rows)


if __name__ == "__main__":
    assert serve.Inbox is Inbox, "the server takes its inbox from somewhere else now: exchange it there"
    serve.Inbox = OneCommitEach  # type: ignore[misc]
    cli.main()
