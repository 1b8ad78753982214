"""How Stripe speaks HTTP: bracketed forms in, JSON and its error objects out. Shared by every part of the bank."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

Json = dict[str, Any]

API_VERSION: Final = "2026-10-28.endive"
"""The version whose shapes the bank's own objects have; the official SDK of the product pins the same."""

TIMEOUT_S: Final = 10.0
_FORM_FIELDS_MAX: Final = 1_000
_FORM_DEPTH_MAX: Final = 8
_ID_CHARACTERS: Final = string.ascii_letters + string.digits
_SUBKEY: Final = re.compile(r"\[([^\[\]]*)\]")


class BankSettings(Protocol):
    """What the bank needs of the sandbox's settings."""

    @property
    def product_url(self) -> str:
        """Where the product listens; empty means that nothing is posted to it."""
        ...

    @property
    def stripe_webhook_path(self) -> str:
        """Where, there, it takes the bank's webhooks."""
        ...

    @property
    def api_key(self) -> str:
        """The only key the API accepts."""
        ...

    @property
    def webhook_secret(self) -> str:
        """What deliveries are signed with until it is rotated."""
        ...

    @property
    def bank_port(self) -> int:
        """Loopback port of the Stripe server behind the bank; 0 picks a free one."""
        ...


class BankError(Exception):
    """A request the bank refuses, as Stripe would say it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: Json = {"type": kind, "message": message}
        if code:
            self.error["code"] = code
        if param:
            self.error["param"] = param

    def answer(self) -> Answer:
        """The error as a whole HTTP answer."""
        return Answer.of({"error": self.error}, self.status)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer of the API, complete, so that it can be kept and given again."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Json, status: int = 200) -> Answer:
        """JSON laid out as Stripe lays it out."""
        return cls(status, json.dumps(data, indent=2).encode() + b"\n")

    @property
    def succeeded(self) -> bool:
        """Whether the request had its effect."""
        return 200 <= self.status < 300

    def json(self) -> Json:
        """The body as an object; empty when it is something else."""
        try:
            data = json.loads(self.body)
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}

    def response(self, extra_headers: Mapping[str, str]) -> web.Response:
        """For aiohttp."""
        return web.Response(
            status=self.status,
            body=self.body,
            content_type="application/json",
            charset="utf-8",
            headers={**self.headers, **extra_headers},
        )


def new_id(prefix: str, characters: int = 24) -> str:
    """An id of the form Stripe gives: not to be guessed, so that a pay page is open only to whoever holds its link."""
    return prefix + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(characters))


def read_form(text: str) -> Json:
    """A form such as `a[0][b]=c` as nested objects and lists. Raises `BankError` for one that contradicts itself."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FORM_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise BankError(400, "The form has too many fields or is not UTF-8.") from error
    tree: Json = {}
    for key, value in pairs:
        head, *_ = key.partition("[")
        path = [head, *_SUBKEY.findall(key[len(head) :])]
        if len(path) > _FORM_DEPTH_MAX:
            raise BankError(400, f"The parameter is nested too deeply: {key[:60]}", param=head)
        _put(tree, path, value)
    return {key: _with_lists(value) for key, value in tree.items()}


def _put(tree: Json, path: list[str], value: str) -> None:
    node = tree
    for step in path[:-1]:
        child = node.setdefault(step or str(len(node)), {})
        if not isinstance(child, dict):
            raise BankError(400, f"Invalid object: {path[0][:60]}", param=path[0][:60])
        node = child
    node[path[-1] or str(len(node))] = value


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() and len(key) < 5 for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(child) for key, child in value.items()}
