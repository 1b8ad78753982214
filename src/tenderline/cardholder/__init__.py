"""The PCI zone: the only package that may ever hold a card number, in memory only.

It is empty until card capture lands; the import contracts around it are already in force.
"""
