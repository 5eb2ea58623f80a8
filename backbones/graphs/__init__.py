"""Graphs of points: all within a radius, the k nearest, and samples that cover a cloud.

Flat batches in, indices out, in the conventions of torch_geometric. The choice of neighbors does
not depend on how a cloud lies in space, ties included, so that a network that builds its graph by
these functions is as exact under rotations as one whose graph is given.
"""

from backbones.graphs.farthest import fps
from backbones.graphs.nearest_points import knn, knn_graph, nearest
from backbones.graphs.successive_edges import triplets
from backbones.graphs.within_radius import radius, radius_graph

__all__ = ["fps", "knn", "knn_graph", "nearest", "radius", "radius_graph", "triplets"]
