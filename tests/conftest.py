"""Fixtures of several modules."""

from collections.abc import Iterator

import jaxtyping
import pytest
from hypothesis import settings

# The same examples in every run; those of tests that are marked as deep, too
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks of shapes and types that only tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="module")
def unchecked_shapes() -> Iterator[None]:
    """The same for a whole module: where they would take much of the time, and others have them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield
