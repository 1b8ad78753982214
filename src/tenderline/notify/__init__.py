"""What a message says, whether it arrived, and what the recipient answered."""
