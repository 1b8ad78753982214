"""What a call says, as sound: clips put together, an operator's own recordings first, synthesis where there is none."""
