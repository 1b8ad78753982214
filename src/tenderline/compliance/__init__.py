"""Who may be contacted, when and how: pure decisions over facts and dated rules."""
