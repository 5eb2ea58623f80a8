"""What the network is shown at once: a scene for each scope, and which of its rows answer."""

from typing import Literal

from symmetrize.scopes.center import Centers
from symmetrize.scopes.scene import Answers, Reduce, Scene
from symmetrize.scopes.scope import Scope, View
from symmetrize.scopes.structure import Structures

ScopeName = Literal["structure", "center"]
SCOPES: dict[str, Scope] = {"structure": Structures(), "center": Centers()}

__all__ = ["SCOPES", "Answers", "Reduce", "Scene", "Scope", "ScopeName", "View"]
