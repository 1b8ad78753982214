"""One file for each CRM, behind `base.py`: who a caller is, and what is written back."""
