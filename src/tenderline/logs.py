"""Logs as one JSON object a line, with a last net that masks card numbers and secrets before they are written.

Every line of every logger, ours or a library's, goes through `JsonFormatter`: there is no second way to the log.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import structlog

from tenderline.core.pan import mask_card_numbers

# Compared without case, dashes and underscores: X-Api-Key, apiKey and api_key are one name.
_SECRET_NAMES: Final = (
    "password", "passwd", "secret", "token", "authorization", "apikey", "privatekey", "cookie", "signature",
)  # fmt: skip
MASKED: Final = "[removed]"
DEPTH_MAX: Final = 6
"""Values inside values are looked through this deep; what lies deeper is left out."""
ITEMS_MAX: Final = 200
NUMBER_MAX: Final = 10**30

# A payer's link is a key: whoever has it can silence the person or see what she is asked for.
_LINK: Final = re.compile(r"(/(?:pay|stop)/)[A-Za-z0-9_.~-]+")
_PASSWORD_IN_URL: Final = re.compile(r"(://[^\s/:@]{0,200}:)[^\s/@]{1,500}(?=@)")
_KNOWN_KEY: Final = re.compile(r"\b(?:(?:sk|rk)_(?:live|test)|whsec)_[\w-]+")
_BEARER: Final = re.compile(r"\b(bearer )[\w.~+/=-]{8,}", re.IGNORECASE)
# `password=…`, `"client_secret": "…"`, `Authorization: Basic …`
_NAMED: Final = re.compile(
    r"(\b[\w-]{0,40}(?:password|passwd|secret|token|authorization|api[_-]?key|private[_-]?key|cookie|signature)"
    r"[\w-]{0,40}[\"']?\s{0,3}[=:]\s{0,3})"
    r"(?:\"[^\"]*\"|'[^']*'|(?:basic |digest )?[^\s,;&\"'(){}\[\]]+)",
    re.IGNORECASE,
)
# In the shown form of a string a line break is a letter, and digits beside a letter are an identifier, not a card.
_ESCAPE_BEFORE_DIGIT: Final = re.compile(r"(\\[abfnrtv])(?=[0-9])")


def _safe(text: str) -> str:
    text = _LINK.sub(rf"\1{MASKED}", text)
    text = _PASSWORD_IN_URL.sub(rf"\1{MASKED}", text)
    text = _BEARER.sub(rf"\1{MASKED}", _KNOWN_KEY.sub(MASKED, text))
    text = _NAMED.sub(rf"\1{MASKED}", text)
    return mask_card_numbers(_ESCAPE_BEFORE_DIGIT.sub(r"\1 ", text))


def _is_secret(name: str) -> bool:
    plain = name.lower().replace("_", "").replace("-", "")
    return any(word in plain for word in _SECRET_NAMES)


def _shown(value: object) -> str:
    try:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    except Exception as error:  # noqa: BLE001  # a value that cannot be shown must not cost the line
        return f"<{type(value).__name__}: {type(error).__name__} while it was shown>"


def _number(value: int | float) -> int | float | str:
    """A number as it is, or as text when JSON has no such number or its digits are a card's."""
    if not abs(value) < NUMBER_MAX:  # written so that it holds for what is not a number, too
        return _safe(_shown(value))
    digits = str(int(value))
    return value if _safe(digits) == digits else _safe(digits)


def _clean(value: object, depth: int = 0) -> Any:
    """`value` as JSON can hold it, every string in it through the net."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == DEPTH_MAX:
            return "[too deep to be shown]"
        if not isinstance(value, Mapping):
            return [_clean(one, depth + 1) for one in islice(value, ITEMS_MAX)]
        named = [(_shown(name), one) for name, one in islice(value.items(), ITEMS_MAX)]
        return {_safe(name): MASKED if _is_secret(name) else _clean(one, depth + 1) for name, one in named}
    return _safe(_shown(value))


def _said(record: logging.LogRecord) -> Mapping[Any, Any]:
    """What a record tells: ours are mappings, a library's are text with arguments."""
    if isinstance(record.msg, Mapping) and not record.args:
        return record.msg
    try:
        return {"event": record.getMessage()}
    except Exception:  # noqa: BLE001  # a library's arguments need not fit its text
        return {"event": f"{_shown(record.msg)} {_shown(record.args)}"}


class JsonFormatter(logging.Formatter):
    """One record as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fixed: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        line = fixed | {"event": ""} | dict(_said(record)) | fixed
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(_clean(line))


def _hand_over(_: Any, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hands one of our events to the logger of its name, where the formatter finds it whole."""
    return (event,), {"exc_info": event.pop("exc_info", None), "stack_info": event.pop("stack_info", False)}


def configure(level: str) -> None:
    """Sends all logs to standard error: ours from `level` on, those of libraries from warnings on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _hand_over],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("tenderline").setLevel(number)
    logging.getLogger("stripe").setLevel(logging.WARNING)  # it tells every request on info
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # else a line that cannot be written is shown past the net
