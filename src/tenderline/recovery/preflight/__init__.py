"""A rehearsal: the real gate over a virtual clock, for people in a file; nothing is sent and nothing is kept."""
