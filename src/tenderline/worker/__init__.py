"""What happens without anybody asking: attempts leave, facts find their reactions, doubts get resolved."""
