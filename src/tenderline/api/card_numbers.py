"""No card number gets in by the API's words: what somebody writes is kept, in notes, in the audit log, in the CRM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import ClientException
from litestar.handlers import BaseRouteHandler

from tenderline.core import pan
from tenderline.core.errors import InvalidInputError

MASKS_CARDS: Final = "tenderline_masks_cards"
"""The key in a route's `opt` of one that keeps its words with card numbers masked, and refuses none."""
# Telephone numbers, of which one in ten could be a card's, and addresses; `agent_started` looks at `userData`.
_NO_WORDS: Final = frozenset({"phoneNumber", "address", "telephone", "email", "supervisor", "url", "userData"})
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def require_no_card(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before every handler that takes a body. Raises `InvalidInputError`, which names the field."""
    if not isinstance(connection, Request) or handler.opt.get(MASKS_CARDS):
        return
    if "data" not in handler.parsed_fn_signature.parameters:
        return
    try:
        told = msgspec.json.decode(await connection.body())
    except msgspec.DecodeError:
        return  # the handler refuses it, and says what is wrong
    except (RecursionError, UnicodeDecodeError):
        raise ClientException("The body is not UTF-8, or is nested too deeply.") from None
    for name, text in _texts(told):
        if pan.is_written_in(text) and _ID.fullmatch(text) is None:
            raise InvalidInputError(f"{name} holds a card number, which may be kept nowhere; leave it out.")


def _texts(told: object) -> Iterator[tuple[str, str]]:
    """Each text, with the name of the field that it is in."""
    left: list[tuple[str, object]] = [("the body", told)]
    while left:
        name, one = left.pop()
        if isinstance(one, str):
            yield name, one
        elif isinstance(one, dict):
            left += [(key, value) for key, value in one.items() if key not in _NO_WORDS]
        elif isinstance(one, list):
            left += [(name, value) for value in one]
