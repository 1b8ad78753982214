"""Why Stripe says a payment failed, in our words.

Four voices may speak about one decline: the network's advice (what may be done), the network's own code, Stripe's
`decline_code` and Stripe's error `code`. Advice decides *whether* the card may be tried again; the codes say *why*.

Sources: Stripe, "Decline codes", "Card declines: retrying issuer declines" and "Error codes"; Visa Core Rules, table of
decline responses by category; Mastercard merchant advice codes. An unknown code is `UNKNOWN`, kept raw, to be mapped.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tenderline.core.reasons import FailureClass, FailureReason

_R = FailureReason

# Stripe's decline codes, charge outcomes and error codes share one name space without contradiction.
STRIPE_CODES: Final[dict[str, FailureReason]] = {
    "insufficient_funds": _R.INSUFFICIENT_FUNDS,
    "card_velocity_exceeded": _R.LIMIT_EXCEEDED,
    "charge_exceeds_source_limit": _R.LIMIT_EXCEEDED,
    "charge_exceeds_transaction_limit": _R.LIMIT_EXCEEDED,
    "invalid_amount": _R.LIMIT_EXCEEDED,
    "withdrawal_count_limit_exceeded": _R.LIMIT_EXCEEDED,
    "expired_card": _R.CARD_EXPIRED,
    "expired_payment_method": _R.CARD_EXPIRED,
    "invalid_expiry_month": _R.CARD_EXPIRED,
    "invalid_expiry_year": _R.CARD_EXPIRED,
    "lost_card": _R.LOST_OR_STOLEN,
    "pickup_card": _R.LOST_OR_STOLEN,
    "stolen_card": _R.LOST_OR_STOLEN,
    "account_closed": _R.CLOSED_ACCOUNT,
    "invalid_account": _R.CLOSED_ACCOUNT,
    "no_account": _R.CLOSED_ACCOUNT,
    "account_number_invalid": _R.INVALID_CARD_DATA,
    "incorrect_address": _R.INVALID_CARD_DATA,
    "incorrect_cvc": _R.INVALID_CARD_DATA,
    "incorrect_number": _R.INVALID_CARD_DATA,
    "incorrect_pin": _R.INVALID_CARD_DATA,
    "incorrect_postal_code": _R.INVALID_CARD_DATA,
    "incorrect_zip": _R.INVALID_CARD_DATA,
    "invalid_cvc": _R.INVALID_CARD_DATA,
    "invalid_number": _R.INVALID_CARD_DATA,
    "invalid_pin": _R.INVALID_CARD_DATA,
    "new_account_information_available": _R.INVALID_CARD_DATA,
    "postal_code_invalid": _R.INVALID_CARD_DATA,
    "routing_number_invalid": _R.INVALID_CARD_DATA,
    "testmode_decline": _R.INVALID_CARD_DATA,
    "approve_with_id": _R.DO_NOT_HONOR,
    "bank_account_declined": _R.DO_NOT_HONOR,
    "call_issuer": _R.DO_NOT_HONOR,
    "card_declined": _R.DO_NOT_HONOR,
    "do_not_honor": _R.DO_NOT_HONOR,
    "generic_decline": _R.DO_NOT_HONOR,
    "low_probability_of_authorization": _R.DO_NOT_HONOR,
    "no_action_taken": _R.DO_NOT_HONOR,
    "payment_method_customer_decline": _R.DO_NOT_HONOR,
    "payment_method_provider_decline": _R.DO_NOT_HONOR,
    "refer_to_customer": _R.DO_NOT_HONOR,
    "authentication_not_handled": _R.AUTHENTICATION_REQUIRED,
    "authentication_required": _R.AUTHENTICATION_REQUIRED,
    "invoice_payment_intent_requires_action": _R.AUTHENTICATION_REQUIRED,
    "offline_pin_required": _R.AUTHENTICATION_REQUIRED,
    "online_or_offline_pin_required": _R.AUTHENTICATION_REQUIRED,
    "payment_intent_action_required": _R.AUTHENTICATION_REQUIRED,
    "payment_intent_authentication_failure": _R.AUTHENTICATION_REQUIRED,
    "bank_account_restricted": _R.NOT_PERMITTED,
    "bank_account_unusable": _R.NOT_PERMITTED,
    "card_not_supported": _R.NOT_PERMITTED,
    "currency_not_supported": _R.NOT_PERMITTED,
    "invalid_card_type": _R.NOT_PERMITTED,
    "not_permitted": _R.NOT_PERMITTED,
    "payment_method_restricted": _R.NOT_PERMITTED,
    "pin_try_exceeded": _R.NOT_PERMITTED,
    "restricted_card": _R.NOT_PERMITTED,
    "sepa_unsupported_account": _R.NOT_PERMITTED,
    "service_not_allowed": _R.NOT_PERMITTED,
    "transaction_not_allowed": _R.NOT_PERMITTED,
    # `highest_risk_level` and `rule` come as a charge's outcome, when Radar blocked it before any bank was asked.
    "fraudulent": _R.FRAUD_SUSPECTED,
    "highest_risk_level": _R.FRAUD_SUSPECTED,
    "merchant_blacklist": _R.FRAUD_SUSPECTED,
    "rule": _R.FRAUD_SUSPECTED,
    "security_violation": _R.FRAUD_SUSPECTED,
    "debit_not_authorized": _R.REVOKED_BY_CUSTOMER,
    "india_recurring_payment_mandate_canceled": _R.REVOKED_BY_CUSTOMER,
    "payment_intent_mandate_invalid": _R.REVOKED_BY_CUSTOMER,
    "revocation_of_all_authorizations": _R.REVOKED_BY_CUSTOMER,
    "revocation_of_authorization": _R.REVOKED_BY_CUSTOMER,
    "stop_payment_order": _R.REVOKED_BY_CUSTOMER,
    "could_not_process": _R.PROCESSING_ERROR,
    "issuer_not_available": _R.PROCESSING_ERROR,
    "lock_timeout": _R.PROCESSING_ERROR,
    "payment_method_provider_timeout": _R.PROCESSING_ERROR,
    "processing_error": _R.PROCESSING_ERROR,
    "rate_limit": _R.PROCESSING_ERROR,
    "reenter_transaction": _R.PROCESSING_ERROR,
    "try_again_later": _R.PROCESSING_ERROR,
    "duplicate_transaction": _R.DUPLICATE,
    "card_decline_rate_limit_exceeded": _R.RETRY_BLOCKED,
    "do_not_try_again": _R.RETRY_BLOCKED,
    "previously_declined_do_not_retry": _R.RETRY_BLOCKED,
}

# ISO 8583 response codes that mean the same at every scheme that uses two characters (American Express uses three).
NETWORK_CODES: Final[dict[str, FailureReason]] = {
    "51": _R.INSUFFICIENT_FUNDS,
    "61": _R.LIMIT_EXCEEDED,
    "65": _R.LIMIT_EXCEEDED,
    "33": _R.CARD_EXPIRED,
    "54": _R.CARD_EXPIRED,
    "04": _R.LOST_OR_STOLEN,
    "41": _R.LOST_OR_STOLEN,
    "43": _R.LOST_OR_STOLEN,
    "15": _R.CLOSED_ACCOUNT,
    "46": _R.CLOSED_ACCOUNT,
    "14": _R.INVALID_CARD_DATA,
    "01": _R.DO_NOT_HONOR,
    "05": _R.DO_NOT_HONOR,
    "12": _R.NOT_PERMITTED,
    "57": _R.NOT_PERMITTED,
    "62": _R.NOT_PERMITTED,
    "93": _R.NOT_PERMITTED,
    "07": _R.FRAUD_SUSPECTED,
    "59": _R.FRAUD_SUSPECTED,
    "63": _R.FRAUD_SUSPECTED,
    "06": _R.PROCESSING_ERROR,
    "19": _R.PROCESSING_ERROR,
    "91": _R.PROCESSING_ERROR,
    "96": _R.PROCESSING_ERROR,
    "94": _R.DUPLICATE,
}

# Where one scheme means something of its own. None: it uses the code for two things, so the next voice is asked.
NETWORK_CODES_BY_BRAND: Final[dict[str, dict[str, FailureReason | None]]] = {
    "visa": {
        # Category 1, "the issuer will never approve": 14 is an account that does not exist, not a slip of the finger.
        "14": _R.CLOSED_ACCOUNT,
        "1A": _R.AUTHENTICATION_REQUIRED,
        "5C": _R.NOT_PERMITTED,
        "6P": _R.INVALID_CARD_DATA,
        "82": _R.INVALID_CARD_DATA,
        "N7": _R.INVALID_CARD_DATA,
        "R0": _R.REVOKED_BY_CUSTOMER,
        "R1": _R.REVOKED_BY_CUSTOMER,
        "R3": _R.REVOKED_BY_CUSTOMER,
    },
    "mastercard": {
        # In Europe 65 asks for strong authentication, elsewhere it is a limit.
        "65": None,
        "83": _R.FRAUD_SUSPECTED,
    },
}

# Mastercard's merchant advice codes. Other schemes use the same digits for other things, so they count for this brand
# only, and where the brand is not told (holding back wrongly costs a day; trying wrongly costs a fee and trust).
_ADVICE_BRANDS: Final = frozenset({"mastercard", "maestro", None})
_ADVICE_STOP: Final = frozenset({"03", "99"})
_ADVICE_REVOKED: Final = "21"
_ADVICE_NEW_DATA: Final = "01"
_ADVICE_LATER: Final = frozenset({"02", "24", "25", "26", "27", "28", "29", "30"})

_UNSPECIFIC: Final = frozenset({None, _R.UNKNOWN, _R.DO_NOT_HONOR})


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """What the voices said of one decline; absent ones are None."""

    advice_code: str | None = None
    network_advice_code: str | None = None
    network_decline_code: str | None = None
    brand: str | None = None
    decline_code: str | None = None
    code: str | None = None

    @property
    def raw_code(self) -> str | None:
        """The most telling code as it came, for the case's page and for mapping what is still unknown."""
        return self.decline_code or self.code or self.network_decline_code or self.advice_code

    @property
    def reason(self) -> FailureReason | None:
        """The decline in our taxonomy; None when nothing at all was said, `UNKNOWN` when nothing said is known."""
        if self.raw_code is None and self.network_advice_code is None:
            return None
        why = self._why()
        advice = self.network_advice_code if self.brand in _ADVICE_BRANDS else None
        if advice == _ADVICE_REVOKED:
            return _R.REVOKED_BY_CUSTOMER
        if self.advice_code == "do_not_try_again" or advice in _ADVICE_STOP:
            # A reason that forbids the card or asks the payer already says more than "do not try again".
            return why if why is not None and why.failure_class is not FailureClass.SOFT else _R.RETRY_BLOCKED
        if (self.advice_code == "confirm_card_data" or advice == _ADVICE_NEW_DATA) and why in _UNSPECIFIC:
            return _R.INVALID_CARD_DATA
        if (self.advice_code == "try_again_later" or advice in _ADVICE_LATER) and why is None:
            return _R.PROCESSING_ERROR
        return why or _R.UNKNOWN

    def _why(self) -> FailureReason | None:
        """What the codes say: network, then Stripe's own; a generic answer yields to a specific one behind it."""
        generic = STRIPE_CODES.get(self.code or "")
        if self.decline_code and generic in _UNSPECIFIC:
            # `card_declined` stands beside every decline code; it must not hide one that waits to be mapped.
            generic = None
        voices = (self._network_reason(), STRIPE_CODES.get(self.decline_code or ""), generic)
        found = [reason for reason in voices if reason is not None]
        return next((reason for reason in found if reason not in _UNSPECIFIC), found[0] if found else None)

    def _network_reason(self) -> FailureReason | None:
        code = (self.network_decline_code or "").upper()
        own = NETWORK_CODES_BY_BRAND.get(self.brand or "", {})
        return own[code] if code in own else NETWORK_CODES.get(code)
