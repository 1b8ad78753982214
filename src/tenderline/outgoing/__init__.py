"""Telling other systems what happened here: signed webhooks, sent until they arrive, to addresses that were checked."""
