"""metatensor and metatomic, imported so that it does not matter whether PyG came first.

torch_geometric (2.7 and newer) replaces ``torch.index_select`` by a function in Python that
TorchScript does not compile. metatensor compiles functions that call it when it is imported, and so
``import torch_geometric; import metatensor.torch`` fails. While metatensor is imported here, torch
has its own function back. Import this module, or the adapter, before what imports metatensor by
itself, such as metatrain; if that came before torch_geometric, there is nothing to settle.

>>> from backbones.atomistic.libraries import metatensor, metatomic
>>> metatensor.Labels(["system"], torch.tensor([[0]])).names
['system']
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from symmetrize.extras import needed_for


@contextmanager
def original_index_select() -> Iterator[None]:
    """``torch.index_select`` as torch has it, for code that TorchScript compiles in the block.

    Needed again to export or save a model whose own code calls it, after PyG was imported.
    """
    replaced = torch.index_select
    module = sys.modules.get("torch_geometric.hash_tensor")
    original = getattr(module, "_old_index_select", replaced)
    torch.index_select = original
    try:
        yield
    finally:
        torch.index_select = replaced


with needed_for("a model in metatomic's format", "atomistic"), original_index_select():
    import metatensor.torch as metatensor
    import metatomic.torch as metatomic

__all__ = ["metatensor", "metatomic", "original_index_select"]
