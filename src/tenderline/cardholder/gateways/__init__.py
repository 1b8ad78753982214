"""One small module for each gateway that turns a card into a token; they know the wire and nothing else."""
