"""The only place that wires vendors to features."""
