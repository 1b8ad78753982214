"""A failed payment becomes a case, and a case becomes lawful, gentle attempts to reach the payer."""
