"""The rules as dated data: one TOML file for each source of law, read by `compliance.ruleset`."""
