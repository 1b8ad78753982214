"""Tenderline: takes, confirms and recovers payments over the telephone and by message."""
