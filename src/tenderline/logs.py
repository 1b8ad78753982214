"""Logs as one JSON object a line, with a last net that masks card numbers and secrets before they are written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from tenderline.core.pan import mask_card_numbers

_SECRET_WORDS: Final = ("password", "secret", "token", "authorization", "api_key", "cookie", "signature")
MASKED: Final = "[removed]"
# A payer's link is a key: whoever has it can silence the person or see what she is asked for.
_LINK: Final = re.compile(r"(/(?:pay|stop)/)[A-Za-z0-9_.~-]+")


def _safe(text: str) -> str:
    return mask_card_numbers(_LINK.sub(rf"\1{MASKED}", text))


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Masks values under secret-looking names, and card numbers anywhere."""
    for key, value in event.items():
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = MASKED
        elif isinstance(value, str):
            event[key] = _safe(value)
        elif not isinstance(value, int | float | bool | None):
            event[key] = _safe(str(value))
    return event


class _RedactFilter(logging.Filter):
    """The same net under the loggers of libraries."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _safe(record.getMessage()), ()
        return True


def configure(level: str) -> None:
    """Sends all logs to standard error, from `level` on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RedactFilter())
    handler.setFormatter(logging.Formatter('{"logger": "%(name)s", "level": "%(levelname)s", "event": "%(message)s"}'))
    logging.getLogger("stripe").setLevel(logging.WARNING)  # it tells every request on info
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
