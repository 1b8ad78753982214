"""Roles and what they may do, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tenderline.store.users import PERMISSIONS, Permission, Role

ROLES: Final[dict[Role, str]] = {
    Role.VIEWER: "looks at everything, changes nothing",
    Role.AGENT: "talks with callers and takes payments",
    Role.SUPERVISOR: "leads agents, settles money and what is held",
    Role.COMPLIANCE: "answers for rules, lists and recordings",
    Role.ENGINEER: "runs lines, flows and webhooks",
    Role.ADMIN: "may do everything",
}
_WORDS: Final[dict[str, str]] = {
    "view": "Look at cases, contacts, calls, payments and rules",
    "hold": "Hold a case, and let it go on",
    "replay": "Put failed jobs and unreadable webhooks back",
    "discard": "Give up a webhook that cannot be read",
    "review": "Decide on what a payer wrote",
    "rules": "Change what the gate asks",
    "lists": "Read do-not-contact lists in",
    "silence": "Keep somebody's word that she wants no more contact",
    "telephone": "Take calls in the browser",
    "lines": "Change lines, flows and segments",
    "listen": "Listen to recordings",
    "listen_sensitive": "Listen to recordings that lie apart",
    "webhooks": "Say who is told by webhook",
    "take_payment": "Start a payment on a call, and stop it",
    "scans": "Read what searches for card data found",
    "money": "Give money back, settle money that is not matched",
    "administer": "Change users, queues, skills and agents; read settings and the audit log",
    "supervise": "Listen in, move agents, take alerts, lift holds",
    "desk": "Work at the agent's desk",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A permission, in words, and the roles that have it."""

    permission: str
    words: str
    roles: frozenset[Role]


def table() -> list[Row]:
    """Every permission, those that most roles have first."""
    rows = [
        Row(one.value, _words(one), frozenset(role for role, may in PERMISSIONS.items() if one in may))
        for one in Permission
    ]
    return sorted(rows, key=lambda row: -len(row.roles))


def _words(permission: Permission) -> str:
    """One that has no words yet is told by its name."""
    return _WORDS.get(permission.value, permission.value.replace("_", " ").capitalize())
