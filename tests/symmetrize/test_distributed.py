"""Networks on several processes by torch's own engine: gradients are those of one process."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch_geometric.data import Batch

from backbones import PET
from symmetrize import Symmetrizer
from symmetrize.datasets import molecules

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch has no distributed package")
OUTPUTS = {"energy": "0e"}


def network() -> PET:
    torch.manual_seed(0)
    return PET(OUTPUTS, species=[1, 6, 8], cutoff=3.0, width=8, hidden=8, layers=1).double()


def loss_of(model: nn.Module, items: list[Any]) -> torch.Tensor:
    return model(Batch.from_data_list(items))["energy"].square().sum()


def begin(rank: int, size: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size
    )


def worker(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    begin(rank, size, folder)
    model = Symmetrizer(nn.parallel.DistributedDataParallel(network()))
    loss_of(model, molecules("train")[rank:4:size]).backward()
    if rank == 0:
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        torch.save(grads, Path(folder) / "gradients.pt")
    # a group that is destroyed waits for its thread, which may wait for Python's lock to forget its
    # last work: both would wait forever
    time.sleep(0.5)
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    mp.spawn(worker, (2, str(tmp_path)), nprocs=2)
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    alone = Symmetrizer(network())
    loss_of(alone, molecules("train")[:4]).backward()
    expected = [p.grad for p in alone.parameters() if p.grad is not None]
    assert len(found) == len(expected) > 10
    for ours, theirs in zip(found, expected, strict=True):
        # processes average their gradients
        torch.testing.assert_close(2 * ours, theirs, atol=1e-11, rtol=1e-9)


def test_what_a_network_declares_is_seen_through_the_engine(tmp_path: Path) -> None:
    begin(0, 1, str(tmp_path))
    try:
        plain, data = Symmetrizer(network()), molecules("train")[0]
        model = Symmetrizer(nn.parallel.DistributedDataParallel(network()))
        assert model.contract == plain.contract
        assert model.prepare is not None
        assert repr(model.frames) == repr(plain.frames)
        assert torch.equal(model(data)["energy"], plain(data)["energy"])
    finally:
        dist.destroy_process_group()
