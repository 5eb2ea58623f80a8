"""What errors are measured in, and how: spreads, rounding, chance, breaks along a path."""
