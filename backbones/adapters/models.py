"""What an adapter can be made around, and what it refuses before anything is called."""

from typing import Any

from symmetrize import Contract


def check_model(model: Any, contract: Any, adapter: str, layout: str) -> None:
    """Refuse models that cannot be called, and contracts that are none.

    Args:
        model: what is to be called.
        contract: given to the adapter; None for the one that the model declares.
        adapter: name of the adapter, for the example in the error.
        layout: what the adapter is told beside the model, likewise.

    Raises:
        TypeError: naming what stood there.
    """
    if isinstance(model, type):
        raise TypeError(
            f"the model is the class {model.__name__} but must be an instance of it: make one, as "
            f"in {adapter}({model.__name__}(...), {layout})"
        )
    if not callable(model):
        raise TypeError(
            f"the model is a {type(model).__name__} but must be a module or a function, as in "
            f"{adapter}(model, {layout})"
        )
    if contract is not None and not isinstance(contract, Contract):
        raise TypeError(
            f"`contract` is a {type(contract).__name__} but must be a Contract, as in "
            f"Contract({contract!r})"
        )
