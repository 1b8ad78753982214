"""Who we may talk to: people, the addresses that reach them, and what they have said about it."""
