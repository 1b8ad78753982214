"""One root for every error of ours, so an edge can tell what is ours to explain from what is a defect.

The docstring of a subclass is its safe message: it names the thing, the reason and the next step, and may be shown to
anybody. `code` is a stable string that clients may switch on; `status` is the HTTP status an edge answers with.
"""

from __future__ import annotations


class TenderlineError(Exception):
    """Something went wrong inside Tenderline; the error id in the log tells more."""

    code: str = "internal"
    status: int = 500

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or " ".join((type(self).__doc__ or TenderlineError.__doc__ or "").split())
        super().__init__(self.detail)


class ConfigurationError(TenderlineError):
    """The configuration is not usable; correct the key named and start again."""

    code = "configuration"


class NotFoundError(TenderlineError):
    """There is nothing under this address; check the id, or list the collection to find it."""

    code = "not_found"
    status = 404


class InvalidInputError(TenderlineError):
    """The input is not valid; correct the field named and send it again."""

    code = "invalid_input"
    status = 422


class UnauthenticatedError(TenderlineError):
    """Sign in, or send a valid access token, and try again."""

    code = "unauthenticated"
    status = 401


class ForbiddenError(TenderlineError):
    """This needs a role or a scope that you do not have; ask an administrator for it."""

    code = "forbidden"
    status = 403


class RateLimitedError(TenderlineError):
    """Too many requests; wait for as long as Retry-After says, then go on."""

    code = "rate_limited"
    status = 429

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class ForgedWebhookError(TenderlineError):
    """The webhook's signature does not match; check that the signing secret here is the one shown by the sender."""

    code = "webhook.forged"
    status = 400


class StaleWebhookError(TenderlineError):
    """The webhook's timestamp is more than 300 s away from this machine's clock; check both clocks (NTP)."""

    code = "webhook.stale"
    status = 400


class MalformedWebhookError(TenderlineError):
    """The webhook's body or headers cannot be read; compare what was posted with what the sender documents."""

    code = "webhook.malformed"
    status = 400


class CardDataRefusedError(TenderlineError):
    """The body holds a card number; it was refused and not stored. Send tokens, never card numbers."""

    code = "webhook.card_data_refused"
    status = 422


class BodyTooLargeError(TenderlineError):
    """The body is larger than this address takes; send less."""

    code = "body_too_large"
    status = 413


class DatabaseUnavailableError(TenderlineError):
    """The database does not answer; see that it runs and that database_url is right, then try again."""

    code = "database_unavailable"
    status = 503


class ProviderError(TenderlineError):
    """A provider answered with an error; the timeline of the attempt shows which."""

    code = "provider"
    status = 502
