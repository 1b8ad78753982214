"""One file for each kind of step a call flow may take."""
