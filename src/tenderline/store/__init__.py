"""The only package that speaks SQL: the row is the truth, and every write here is one transaction's part."""
