"""Why a payment failed, in our own words, so that policies need not know any gateway's codes."""

from __future__ import annotations

from enum import StrEnum


class FailureClass(StrEnum):
    """What a reason allows: trying the same card again, asking the payer, or neither."""

    SOFT = "soft"
    NEEDS_PAYER = "needs_payer"
    NEVER_RETRY = "never_retry"
    HUMAN_REVIEW = "human_review"


class FailureReason(StrEnum):
    """The taxonomy that every gateway's decline codes map to."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT_EXCEEDED = "limit_exceeded"
    CARD_EXPIRED = "card_expired"
    LOST_OR_STOLEN = "lost_or_stolen"
    CLOSED_ACCOUNT = "closed_account"
    INVALID_CARD_DATA = "invalid_card_data"
    DO_NOT_HONOR = "do_not_honor"
    AUTHENTICATION_REQUIRED = "authentication_required"
    NOT_PERMITTED = "not_permitted"
    FRAUD_SUSPECTED = "fraud_suspected"
    REVOKED_BY_CUSTOMER = "revoked_by_customer"
    PROCESSING_ERROR = "processing_error"
    DUPLICATE = "duplicate"
    RETRY_BLOCKED = "retry_blocked"
    UNKNOWN = "unknown"

    @property
    def failure_class(self) -> FailureClass:
        """What may be done about it."""
        return _CLASSES[self]


_CLASSES = {
    FailureReason.INSUFFICIENT_FUNDS: FailureClass.SOFT,
    FailureReason.LIMIT_EXCEEDED: FailureClass.SOFT,
    FailureReason.CARD_EXPIRED: FailureClass.NEEDS_PAYER,
    FailureReason.LOST_OR_STOLEN: FailureClass.NEVER_RETRY,
    FailureReason.CLOSED_ACCOUNT: FailureClass.NEVER_RETRY,
    FailureReason.INVALID_CARD_DATA: FailureClass.NEEDS_PAYER,
    FailureReason.DO_NOT_HONOR: FailureClass.SOFT,
    FailureReason.AUTHENTICATION_REQUIRED: FailureClass.NEEDS_PAYER,
    FailureReason.NOT_PERMITTED: FailureClass.NEVER_RETRY,
    FailureReason.FRAUD_SUSPECTED: FailureClass.HUMAN_REVIEW,
    FailureReason.REVOKED_BY_CUSTOMER: FailureClass.HUMAN_REVIEW,
    FailureReason.PROCESSING_ERROR: FailureClass.SOFT,
    FailureReason.DUPLICATE: FailureClass.HUMAN_REVIEW,
    FailureReason.RETRY_BLOCKED: FailureClass.SOFT,
    FailureReason.UNKNOWN: FailureClass.SOFT,
}
