"""Weights of a network for the same network in a wrapper, and the other way round.

A wrapper keeps its network under a name, and so its weights have longer names: ``net.layer.weight``
in a ``Symmetrizer``, ``model.layer.weight`` in an adapter such as ``Call``, ``module.layer.weight``
in torch's ``DistributedDataParallel``, ``_orig_mod.layer.weight`` in a compiled module.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

# Names under which wrappers keep what they wrap, and what they have of their own beside it
WRAPPED = frozenset({"net", "model", "module", "_orig_mod"})
BESIDE = "auxiliary"


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Load the state dict of a network into a model that wraps it, or of a model into its network.

    Names must agree but for a prefix of wrappers, such as ``net.``; all weights of the network are
    loaded then, as ``load_state_dict`` does it. An auxiliary model of frames is left as it is.

    Args:
        model: with the network, wrapped or bare; changed in place.
        weights: the state dict of the other.

    Returns:
        the model.

    Raises:
        ValueError: if no prefix makes the names agree; it names what is missing and what is left.
        RuntimeError: by torch, if a shape differs.

    >>> import torch
    >>> from symmetrize import Symmetrizer
    >>> bare, other = nn.Linear(3, 1), nn.Linear(3, 1)
    >>> model = load_weights(Symmetrizer(other, "0e"), bare.state_dict())
    >>> torch.equal(model.net.weight, bare.weight)
    True
    >>> load_weights(nn.Linear(3, 1), model.state_dict())
    Linear(in_features=3, out_features=1, bias=True)
    """
    names = model.state_dict().keys()
    own = {name: weights[name] for name in names if name in weights}
    if len(own) == len(names) == len(weights):
        model.load_state_dict(own)
        return model
    for prefix in _prefixes(names, weights.keys()):  # the model is the larger one
        longer = {prefix + name: value for name, value in weights.items()}
        if longer.keys() == _without_auxiliary(names, prefix):
            model.load_state_dict(longer, strict=False)
            return model
    for prefix in _prefixes(weights.keys(), names):  # the weights are of the larger one
        kept = _without_auxiliary(weights.keys(), prefix)
        shorter = {name.removeprefix(prefix): weights[name] for name in kept}
        if shorter.keys() == names:
            model.load_state_dict(shorter)
            return model
    missing, left = sorted(names - weights.keys()), sorted(weights.keys() - names)
    raise ValueError(
        f"the weights do not fit {type(model).__name__}, bare or wrapped: it has {_some(missing)} "
        f"and the weights {_some(left)}. Make the network with the arguments of the one that was "
        "saved, or choose and rename weights by hand and use load_state_dict"
    )


def _prefixes(longer: Any, shorter: Any) -> list[str]:
    """What wrappers may have put before the names of the smaller one, the shortest first."""
    first = next(iter(shorter), None)
    if first is None:
        return []
    found = {name.removesuffix(first) for name in longer if name.endswith(f".{first}")}
    of_wrappers = [prefix for prefix in found if set(prefix[:-1].split(".")) <= WRAPPED]
    return sorted(of_wrappers, key=len)


def _without_auxiliary(names: Any, prefix: str) -> set[str]:
    """The names, but for those that are of an auxiliary model and not of the network."""
    return {name for name in names if name.startswith(prefix) or BESIDE not in name.split(".")}


def _some(names: list[str]) -> str:
    """The first few names."""
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" * (len(names) > 3))
