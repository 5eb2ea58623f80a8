"""Models from files, and what loading a file means.

- An exported model (``.pt``, written by ``AtomisticModel.save`` or ``mtt export``) is TorchScript.
  Loading it unpickles no Python, but it is a program: what it holds runs in torch's interpreter
  when it is called, and if it names extensions, compiled libraries of these names are loaded from
  installed packages and from ``extensions_directory``. Load files only from sources whose programs
  you would run.
- A checkpoint (``.ckpt``, written by metatrain) holds weights and settings. metatrain itself loads
  it with a full unpickler, which can run anything. Here it is read with ``weights_only=True``, and
  three classes are let through that checkpoints of PET are made of: two records of settings, and
  metatensor's own compiled containers. Nothing else than PET is built: other architectures of
  metatrain open further files that their settings name.
"""

from pathlib import Path
from typing import Any

import torch

from backbones.atomistic.libraries import metatomic, original_index_select
from symmetrize.extras import needed_for


def load(path: Path, extensions_directory: str | Path | None = None) -> Any:
    """The metatomic ``AtomisticModel`` in a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is a checkpoint of another architecture than PET.
        pickle.UnpicklingError: if a checkpoint holds anything but weights and settings.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no model at {str(path)!r}: pass an exported model (.pt) or a checkpoint of "
            "metatrain (.ckpt)"
        )
    if path.suffix == ".ckpt":
        return exported(checkpoint(path))
    return metatomic.load_atomistic_model(path, extensions_directory)


def checkpoint(path: Path) -> Any:
    """The PET in a checkpoint of metatrain, of any version that metatrain can upgrade."""
    with original_index_select():
        with needed_for("a checkpoint of metatrain", "atomistic"):
            from metatrain.utils.data import DatasetInfo, TargetInfo
            from metatrain.utils.io import model_from_checkpoint

        with torch.serialization.safe_globals([DatasetInfo, TargetInfo, torch.ScriptObject]):
            found = torch.load(path, weights_only=True, map_location="cpu")
        if found["architecture_name"] != "pet":
            raise ValueError(
                f"the checkpoint holds a model of architecture {found['architecture_name']!r} but "
                "only 'pet' is read without running code: if you trust its source, export it with "
                f"`mtt export {path.name}` and load the result"
            )
        return model_from_checkpoint(found, context="export")


def exported(model: Any) -> Any:
    """The ``AtomisticModel`` of a model: itself, of its compiled form, or of a model of metatrain.

    metatomic freezes the parameters of what it exports and leaves it in evaluation mode.

    Raises:
        TypeError: if the model is none of these.
    """
    if isinstance(model, metatomic.AtomisticModel):
        return model
    if isinstance(model, torch.jit.ScriptModule) and metatomic.is_atomistic_model(model):
        script: Any = model
        return metatomic.AtomisticModel(model, script.metadata(), script.capabilities())
    if hasattr(model, "export"):  # a model of metatrain
        with original_index_select():
            return model.export()
    raise TypeError(
        f"the model is a {type(model).__name__} but must be a metatomic AtomisticModel, a model of "
        "metatrain, or the path of a file that holds one"
    )
