"""Donor segments, queues and overflow. Empty until donor routing lands."""
