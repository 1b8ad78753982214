"""Call flows as checked graphs of steps: a TOML file, proved before use, walked by a call, drawn on the screen."""
