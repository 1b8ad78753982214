"""The PCI zone: the only package that may ever hold a card number, in memory only.

`capture.py` decides what happens at each key and is pure; `digits.py` holds what was keyed and forgets it.
"""
