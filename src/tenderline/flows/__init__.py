"""Call flows as checked graphs of steps. Empty until the telephone lands."""
