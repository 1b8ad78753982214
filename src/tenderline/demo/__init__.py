"""`tenderline demo`: the whole product with a simulated bank, carrier and mailbox, and scenarios that prove it.

The product runs as it does in production; only the other side of the wire is the sandbox, a program of its own.
"""
