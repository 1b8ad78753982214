"""Numbers over what happened, each of which opens its rows. Empty until reports land."""
