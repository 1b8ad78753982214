"""Values and pure rules that every other package may use: no I/O, no vendor, no clock of its own."""
