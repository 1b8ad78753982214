"""The state of a payment, folded from what gateways say in any order."""
