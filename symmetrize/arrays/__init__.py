"""Flat batches of numbers: sums over segments, smooth steps, vectors, what is safe at zero."""
