"""Data with more than points: what users store beside positions, and networks that read it.

The networks know invariants only. Their bare answer is right, so that any difference from what is
symmetrized is the wrapper's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

REACH = 2.5


def sums(values: Tensor, index: Tensor, size: int) -> Tensor:
    return values.new_zeros(size).index_add(0, index, values)


def lengths(data: Data, pairs: Tensor) -> Tensor:
    """Smooth functions of distances, nonzero for all of them."""
    difference = data.pos[pairs[0]] - data.pos[pairs[1]]
    return (1.0 + difference.square().sum(-1)).log()


def structure_of(data: Data, rows: Tensor) -> Tensor:
    batch = data.batch if data.batch is not None else torch.zeros(len(data.pos)).long()
    return batch[rows]


def number(data: Data) -> int:
    return data.num_graphs if isinstance(data, Batch) else 1


class WithTriplets(Data):
    """Pairs of edges, as M3GNet and its kin store them."""

    def __inc__(self, key, value, *args, **kwargs):
        if key == "three_body_indices":
            return self.edge_index.size(1)
        return super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key, value, *args, **kwargs):
        if key == "three_body_indices":
            return -1
        return super().__cat_dim__(key, value, *args, **kwargs)


class WithColumns(Data):
    """Triplets in columns of a table, as DimeNet and GemNet have them."""

    def __inc__(self, key, value, *args, **kwargs):
        if key in ("idx_kj", "idx_ji", "swap"):
            return self.edge_index.size(1)
        if key == "middle":
            return self.num_nodes
        return super().__inc__(key, value, *args, **kwargs)


class WithTable(Data):
    """Neighbors of each point, padded with -1."""

    def __inc__(self, key, value, *args, **kwargs):
        if key == "neighbors":
            return self.num_nodes
        return super().__inc__(key, value, *args, **kwargs)


class Pocketed(Data):
    """A ligand and its pocket, with edges from one to the other."""

    def __inc__(self, key, value, *args, **kwargs):
        if key == "contact_index":
            return torch.tensor([[len(self.pos)], [len(self.x_t)]])
        return super().__inc__(key, value, *args, **kwargs)


class PerGraph(Data):
    """A label without a dimension of structures."""

    def __cat_dim__(self, key, value, *args, **kwargs):
        return None if key == "label" else super().__cat_dim__(key, value, *args, **kwargs)


def points(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, dtype=torch.float64, generator=generator)


def edges_within(pos: Tensor) -> Tensor:
    near = (torch.cdist(pos, pos) < REACH) & ~torch.eye(len(pos), dtype=torch.bool)
    return near.nonzero().T.contiguous()


@dataclass(frozen=True)
class Companion:
    """What is stored, and who reads it.

    Attributes:
        make: a structure of so many points and with this seed.
        net: one number for each structure.
        follow: what `follow_batch` is asked to follow.
        raised: whether torch-geometric raises what counts nothing, as its name has "index".
        unlike: attributes that are copied otherwise than torch-geometric collates them.
    """

    make: Callable[[int, int], Data]
    net: Callable[[Data], Tensor]
    follow: tuple[str, ...] = ()
    raised: bool = False
    unlike: tuple[str, ...] = ()


def bonds(size: int, seed: int) -> Data:
    pos = points(size, seed)
    edges = edges_within(pos)
    weight = torch.cos(torch.arange(edges.size(1), dtype=torch.float64))
    return Data(pos=pos, edge_index=edges, edge_attr=weight, bond_order=2 * weight)


def of_bonds(data: Data) -> Tensor:
    values = data.edge_attr * data.bond_order * lengths(data, data.edge_index)
    return sums(values, structure_of(data, data.edge_index[0]), number(data))


def triplets(size: int, seed: int) -> Data:
    pos = points(size, seed)
    edges = edges_within(pos)
    same = (edges[0][:, None] == edges[0]) & ~torch.eye(edges.size(1), dtype=torch.bool)
    pairs = same.nonzero().T.contiguous()
    angle = torch.sin(torch.arange(pairs.size(1), dtype=torch.float64))
    return WithTriplets(
        pos=pos, edge_index=edges, three_body_indices=pairs, three_body_weight=angle
    )


def of_triplets(data: Data) -> Tensor:
    length = lengths(data, data.edge_index)
    first, second = data.three_body_indices
    values = data.three_body_weight * length[first] * length[second].sqrt()
    return sums(values, structure_of(data, data.edge_index[0][first]), number(data))


def columns(size: int, seed: int) -> Data:
    made = triplets(size, seed)
    first, second = made.three_body_indices
    start, end = made.edge_index
    back = (start[:, None] == end) & (end[:, None] == start)
    return WithColumns(
        pos=made.pos,
        edge_index=made.edge_index,
        swap=back.nonzero()[:, 1],
        idx_kj=first,
        idx_ji=second,
        middle=start[first],
        weight=made.three_body_weight,
    )


def of_columns(data: Data) -> Tensor:
    length = lengths(data, data.edge_index)
    assert torch.equal(data.edge_index[0], data.edge_index[1][data.swap])
    assert torch.equal(data.middle, data.edge_index[0][data.idx_ji])
    values = data.weight * length[data.idx_kj] * length[data.idx_ji].sqrt()
    return sums(values, structure_of(data, data.middle), number(data))


def angles(size: int, seed: int) -> Data:
    """Triples of points, by the name that torch-geometric knows."""
    pos = points(size, seed)
    index = torch.stack(
        [torch.arange(size), torch.arange(size).roll(1), torch.arange(size).roll(2)]
    )
    return Data(pos=pos, angle_index=index, angle_attr=torch.arange(size).double() + 1)


def of_angles(data: Data) -> Tensor:
    a, b, c = data.angle_index
    values = (
        data.angle_attr * lengths(data, torch.stack([a, b])) * lengths(data, data.angle_index[1:])
    )
    return sums(values, structure_of(data, c), number(data))


def table(size: int, seed: int) -> Data:
    pos = points(size, seed)
    near = torch.cdist(pos, pos).argsort(1)[:, 1:4]
    rows = torch.full((size, 5), -1)
    rows[:, : near.size(1)] = near
    rows[seed % max(size, 1), 1:] = -1
    return WithTable(pos=pos, neighbors=rows)


def of_table(data: Data) -> Tensor:
    own = torch.arange(len(data.pos))[:, None].expand_as(data.neighbors)
    there = data.neighbors >= 0
    values = lengths(data, torch.stack([own, data.neighbors.clamp(min=0)])) * there
    return sums(values.sum(1), structure_of(data, torch.arange(len(data.pos))), number(data))


def second_kind(size: int, seed: int) -> Data:
    rows = torch.arange(seed + 2).double() + 0.5
    return Data(pos=points(size, seed), x_t=rows, more={"rows": rows[1:]})


def of_second_kind(data: Data) -> Tensor:
    whose = data.get("x_t_batch", torch.zeros(len(data.x_t)).long())
    if "x_t_ptr" in data:
        assert torch.equal(data.x_t_ptr.diff(), torch.bincount(whose, minlength=number(data)))
    extra = sums(data.x_t, whose, number(data))
    if "more_batch" in data:
        extra = extra + sums(data.more["rows"], data.more_batch["rows"], number(data))
    return extra * sums(
        data.pos.square().sum(1), structure_of(data, torch.arange(len(data.pos))), number(data)
    )


def contacts(size: int, seed: int) -> Data:
    pairs = torch.stack([torch.arange(size), torch.arange(size) % (seed + 2)])
    return Pocketed(
        pos=points(size, seed), x_t=torch.arange(seed + 2).double() + 0.5, contact_index=pairs
    )


def of_contacts(data: Data) -> Tensor:
    left, right = data.contact_index
    values = data.pos.square().sum(1)[left] * data.x_t[right]
    return sums(values, structure_of(data, left), number(data))


HEADS = {"qm9": 1.0, "md17": 3.0}


def named(size: int, seed: int) -> Data:
    name = list(HEADS)[seed % 2]
    return Data(pos=points(size, seed), dataset=name, extra={"name": name, "shift": torch.ones(1)})


def of_named(data: Data) -> Tensor:
    names = [data.dataset] if isinstance(data.dataset, str) else data.dataset
    assert len(names) == number(data)
    inner = data.extra["name"]
    assert ([inner] if isinstance(inner, str) else inner) == names
    assert len(data.extra["shift"]) == number(data)
    factor = torch.tensor([HEADS[name] for name in names]).double()
    return factor * sums(
        data.pos.square().sum(1), structure_of(data, torch.arange(len(data.pos))), number(data)
    )


def numbers(size: int, seed: int) -> Data:
    """Numbers of structures that are no places in them, whatever they are called."""
    return Data(
        pos=points(size, seed),
        sample_index=torch.tensor([1000 + seed]),
        refractive_index=1.25 + seed,
        temperature=torch.tensor(300.0),
    )


def of_numbers(data: Data) -> Tensor:
    factor = torch.as_tensor(data.refractive_index) + torch.as_tensor(data.temperature)
    factor = factor + torch.as_tensor(data.sample_index) % 7
    return factor.double() * sums(
        data.pos.square().sum(1), structure_of(data, torch.arange(len(data.pos))), number(data)
    )


def arrays(size: int, seed: int) -> Data:
    return Data(pos=points(size, seed), fingerprint=np.arange(3.0) + seed)


def of_arrays(data: Data) -> Tensor:
    rows = data.fingerprint if isinstance(data.fingerprint, list) else [data.fingerprint]
    assert len(rows) == number(data)
    factor = torch.tensor([row.sum() for row in rows])
    return factor * sums(
        data.pos.square().sum(1), structure_of(data, torch.arange(len(data.pos))), number(data)
    )


def layers(size: int, seed: int) -> Data:
    own = torch.arange(size).double()
    return Data(pos=points(size, seed), layers=[own + 1, own.square() + 1])


def of_layers(data: Data) -> Tensor:
    values = data.layers[0] * data.layers[1] * data.pos.square().sum(1)
    return sums(values, structure_of(data, torch.arange(len(data.pos))), number(data))


def labelled(size: int, seed: int) -> Data:
    return PerGraph(
        pos=points(size, seed), label=torch.tensor([1.0, 2.0, 3.0, 4.0]).double() + seed
    )


def of_labelled(data: Data) -> Tensor:
    assert data.label.reshape(-1, 4).size(0) == number(data)
    factor = data.label.reshape(-1, 4).sum(1)
    return factor * sums(
        data.pos.square().sum(1), structure_of(data, torch.arange(len(data.pos))), number(data)
    )


def centers(size: int, seed: int) -> Data:
    return Data(pos=points(size, seed), center_index=torch.tensor([seed % size]))


def of_centers(data: Data) -> Tensor:
    every = torch.arange(len(data.pos))
    middle = data.center_index[structure_of(data, every)]
    return sums(
        lengths(data, torch.stack([every, middle])), structure_of(data, every), number(data)
    )


def parts(size: int, seed: int) -> Data:
    """Numbers of fragments, which torch-geometric raises by how many there are."""
    return Data(pos=points(size, seed), part_batch=torch.arange(size) // 2)


def of_parts(data: Data) -> Tensor:
    most = int(data.part_batch.max()) + 1
    mass = sums(data.pos.square().sum(1), data.part_batch, most)
    whose = (
        torch.zeros(most)
        .long()
        .index_copy(0, data.part_batch, structure_of(data, torch.arange(len(data.pos))))
    )
    return sums(mass.sqrt(), whose, number(data))


def adjacency(layout: str) -> Callable[[int, int], Data]:
    def make(size: int, seed: int) -> Data:
        pos = points(size, seed)
        near = edges_within(pos)
        matrix = torch.sparse_coo_tensor(
            near, torch.cos(near[0] + 2.0 * near[1]).double(), (size, size)
        ).coalesce()
        return Data(pos=pos, adj_t=matrix.to_sparse_csr() if layout == "csr" else matrix)

    return make


def of_adjacency(data: Data) -> Tensor:
    assert data.adj_t.shape == (len(data.pos), len(data.pos))
    matrix = data.adj_t.to_dense()
    values = ((1 + torch.cdist(data.pos, data.pos)) * matrix).sum(1)
    return sums(values, structure_of(data, torch.arange(len(data.pos))), number(data))


def listed(size: int, seed: int) -> Data:
    return bonds(size, seed)


def of_listed(data: Data) -> Tensor:
    """By way of the structures of the batch, one by one."""
    if not isinstance(data, Batch):
        return of_bonds(data)
    items = data.to_data_list()
    assert torch.equal(data[0].pos, items[0].pos)
    assert torch.equal(data.get_example(0).edge_index, items[0].edge_index)
    return torch.cat([of_bonds(one) for one in items])


COMPANIONS = {
    "attributes of edges": Companion(bonds, of_bonds),
    "pairs of edges": Companion(triplets, of_triplets),
    "columns of triplets": Companion(columns, of_columns),
    "triples of points": Companion(angles, of_angles),
    "a padded table": Companion(table, of_table, unlike=("neighbors",)),
    "a second kind of rows": Companion(second_kind, of_second_kind, follow=("x_t", "more")),
    "edges to a second kind": Companion(contacts, of_contacts),
    "names": Companion(named, of_named),
    "numbers of structures": Companion(
        numbers, of_numbers, raised=True, unlike=("sample_index", "refractive_index")
    ),
    "arrays of structures": Companion(arrays, of_arrays),
    "lists of tensors": Companion(layers, of_layers),
    "a label of each structure": Companion(labelled, of_labelled),
    "a point of each structure": Companion(centers, of_centers),
    "numbers of parts": Companion(parts, of_parts),
    "a sparse matrix": Companion(adjacency("coo"), of_adjacency),
    "a compressed sparse matrix": Companion(adjacency("csr"), of_adjacency),
    "structures one by one": Companion(listed, of_listed),
}
