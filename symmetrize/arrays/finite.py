"""Numbers that must be finite."""

import torch
from torch import Tensor


def check_finite(name: str, value: Tensor) -> None:
    """Refuse what is not finite.

    Raises:
        ValueError: naming the value and its place.
    """
    bad = ~torch.isfinite(value.detach())
    if bool(bad.any()):
        where = torch.nonzero(bad)[0].tolist()
        raise ValueError(
            f"`{name}` is {value[tuple(where)].item()} at {where} but must be finite: remove or "
            "repair that row"
        )
