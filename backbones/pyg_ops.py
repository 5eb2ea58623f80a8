"""The library's own graph builder, offered to torch-geometric where that has none.

torch-geometric leaves kNN, radius, farthest point sampling and nearest points to the compiled
pyg-lib, and has no fallback: without it DynamicEdgeConv, XConv, GravNetConv, SchNet, DimeNet,
ViSNet and every function that builds a graph refuse to work. DimeNet also wants torch-sparse.
``Call`` lends them to a model that asks for them, while it is called; whoever wants them to work
elsewhere says so, once, in any place before the first call:

    from backbones.adapters import offer_to_pyg

    offer_to_pyg()

Nothing else does it, so that a bare model is judged, and refuses to run, as its users find it.

pyg-lib goes first: what is there is never replaced. Its choice of neighbors is another one at ties,
which rounding decides, and where ``max_num_neighbors`` cuts, by direction: networks that meet
either are not exact.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch_geometric.typing
from torch import Tensor

from backbones import graphs

# The operators of pyg-lib 0.6. A limit of None, which torch-geometric recommends, is allowed too.
SCHEMAS = {
    "knn": "(Tensor x, Tensor y, Tensor? ptr_x=None, Tensor? ptr_y=None, int k=1, "
    "bool cosine=False, int num_workers=1) -> Tensor",
    "radius": "(Tensor x, Tensor y, Tensor? ptr_x=None, Tensor? ptr_y=None, float r=1.0, "
    "int? max_num_neighbors=32, int num_workers=1, bool ignore_same_index=False) -> Tensor",
    "fps": "(Tensor src, Tensor ptr, float ratio=0.5, bool random_start=True) -> Tensor",
    "nearest": "(Tensor x, Tensor y, Tensor? ptr_x=None, Tensor? ptr_y=None) -> Tensor",
}

# operators are taken back when the library they were defined in goes out of scope
_libraries: list[torch.library.Library] = []


def offer_to_pyg() -> tuple[str, ...]:
    """Give torch-geometric the graph functions that it lacks, from now on in this process.

    Returns:
        names of what was given by this call: none the second time, nothing that pyg-lib or, for
        the triplets of DimeNet, torch-sparse brings, and no graph functions to releases before 2.8,
        which ask torch-cluster instead.

    ``fps`` starts from the point farthest from the centroid where torch-geometric asks for a random
    one, as it does unless told otherwise: a random start would make the network a random function.
    Its ``random_start=False`` means the first point, here too.
    """
    given = []
    for name, schema in SCHEMAS.items():
        flag = f"WITH_{name.upper()}"
        # absent flag: a release that looks elsewhere
        if getattr(torch_geometric.typing, flag, True):
            continue
        if not hasattr(torch.ops.pyg, name):
            library = torch.library.Library("pyg", "FRAGMENT")
            library.define(name + schema)
            # results are indices: nothing to differentiate, and alike on every device
            library.impl(name, _OPERATORS[name], "CompositeExplicitAutograd")
            _libraries.append(library)
        setattr(torch_geometric.typing, flag, True)
        given.append(name)
    if not torch_geometric.typing.WITH_TORCH_SPARSE and _give_triplets():
        given.append("triplets")
    return tuple(given)


@contextmanager
def lent_to_pyg() -> Iterator[None]:
    """The same for a while: what was given is taken back at the end."""
    from torch_geometric.nn.models import dimenet, gnnff

    triplets = dimenet.triplets, gnnff.triplets
    given = offer_to_pyg()
    try:
        yield
    finally:
        for name in SCHEMAS.keys() & set(given):
            setattr(torch_geometric.typing, f"WITH_{name.upper()}", False)
        dimenet.triplets, gnnff.triplets = triplets


def _give_triplets() -> bool:
    """Replace DimeNet's own, which cannot run without torch-sparse."""
    from torch_geometric.nn.models import dimenet, gnnff

    if dimenet.triplets is graphs.triplets:
        return False
    dimenet.triplets = gnnff.triplets = graphs.triplets
    return True


def _batch(ptr: Tensor | None) -> Tensor | None:
    """Structure of each point, from where the points of each structure start."""
    if ptr is None:
        return None
    structures = torch.arange(len(ptr) - 1, device=ptr.device)
    return torch.repeat_interleave(structures, ptr.diff())


def _knn(
    x: Tensor,
    y: Tensor,
    ptr_x: Tensor | None = None,
    ptr_y: Tensor | None = None,
    k: int = 1,
    cosine: bool = False,
    num_workers: int = 1,
) -> Tensor:
    return graphs.knn(x, y, k, _batch(ptr_x), _batch(ptr_y), cosine)


def _radius(
    x: Tensor,
    y: Tensor,
    ptr_x: Tensor | None = None,
    ptr_y: Tensor | None = None,
    r: float = 1.0,
    max_num_neighbors: int | None = 32,
    num_workers: int = 1,
    ignore_same_index: bool = False,
) -> Tensor:
    batches = _batch(ptr_x), _batch(ptr_y)
    return graphs.radius(x, y, r, *batches, max_num_neighbors, ignore_same_index)


def _fps(src: Tensor, ptr: Tensor, ratio: float = 0.5, random_start: bool = True) -> Tensor:
    return graphs.fps(src, _batch(ptr), ratio, start="farthest" if random_start else "first")


def _nearest(
    x: Tensor, y: Tensor, ptr_x: Tensor | None = None, ptr_y: Tensor | None = None
) -> Tensor:
    points = x.reshape(len(x), -1), y.reshape(len(y), -1)
    return graphs.nearest(*points, _batch(ptr_x), _batch(ptr_y))


_OPERATORS = {"knn": _knn, "radius": _radius, "fps": _fps, "nearest": _nearest}
