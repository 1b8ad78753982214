"""One file for each payment gateway: how its webhooks are verified, read and asked about."""
