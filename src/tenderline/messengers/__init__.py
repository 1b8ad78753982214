"""One file for each message provider: how a message is handed over and asked about afterwards."""
