"""Clouds of points, the neighbors of each, and the environments of centers."""
