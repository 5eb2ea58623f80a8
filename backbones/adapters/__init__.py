"""Calling conventions of networks that exist, one a file: each makes a network of ``Data``.

``offer_to_pyg()`` gives torch-geometric the graph functions that it lacks without pyg-lib, for the
whole process: only when it is called, never by an import.
"""

from backbones.adapters.connect import connect
from backbones.adapters.dense import Dense
from backbones.adapters.geometric import Call
from backbones.pyg_ops import offer_to_pyg

__all__ = ["Call", "Dense", "connect", "offer_to_pyg"]
