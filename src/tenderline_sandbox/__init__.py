"""The other side of the wire, simulated for demo and tests: a carrier, a mailbox and a bank.

Each is a server speaking its vendor's own protocol, so the product talks to it with the adapters it uses in
production. The product never imports this package; it starts it as a program of its own.
"""
