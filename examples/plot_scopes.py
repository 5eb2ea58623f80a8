"""
Far fragments
=============

Frames of a whole structure see all of it: energies of far fragments do not quite add up, as long
as the network is not invariant by itself. Frames of each center do not know what is beyond the
cutoff.
"""

import matplotlib.pyplot as plt
import torch
from torch_geometric.data import Batch, Data

from backbones import PET
from symmetrize import HierarchicalFrames, Symmetrizer
from symmetrize.datasets import molecules

torch.manual_seed(0)
settings = {"cutoff": 3.0, "width": 16, "heads": 2, "rounds": 1, "layers": 1}
net = PET({"energy": "0e"}, species=[1, 6, 7, 8], **settings).double()
whole = Symmetrizer(net)
local = Symmetrizer(net, scope="center", frames=HierarchicalFrames(4.0), reduce="sum")

# %%
# Two molecules, one of which is carried away: what they have of energy together, beyond each
# alone.

one, other = molecules("test")[0], molecules("test")[7]
distances = torch.linspace(2.0, 12.0, 41).double()
pairs = [
    Data(
        pos=torch.cat([one.pos, other.pos + torch.tensor([0.0, 0.0, float(d)])]),
        z=torch.cat([one.z, other.z]),
    )
    for d in distances
]
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, model in (("structure", whole), ("center", local)):
    with torch.no_grad():
        alone = model(Data(pos=one.pos, z=one.z))["energy"]
        alone = alone + model(Data(pos=other.pos, z=other.z))["energy"]
        beyond = (model(Batch.from_data_list(pairs))["energy"] - alone)[:, 0]
    axes.plot(distances, beyond.abs().clamp(min=1e-17), label=f'scope="{name}"')
    print(f'scope="{name}": {float(beyond[-1]):.0e} at 12 Å')
axes.set(xlabel="distance (Å)", ylabel="energy beyond the sum", yscale="log")
axes.legend()
