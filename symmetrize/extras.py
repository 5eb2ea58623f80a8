"""Optional dependencies: what is missing, what it is for, and the command that installs it.

The distribution, what pip installs, is called ``torch-symmetrize``. What pip knows as "symmetrize"
is another project.
"""

from collections.abc import Iterator
from contextlib import contextmanager

DISTRIBUTION = "torch-symmetrize"


def install(extra: str) -> str:
    """The command that installs one extra of this distribution.

    Where the distribution is installed already, from sources perhaps, pip adds what is missing.

    >>> install("certify")
    "pip install 'torch-symmetrize[certify]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


@contextmanager
def needed_for(purpose: str, extra: str) -> Iterator[None]:
    """Imports in the block belong to an extra: where one is missing, say so.

    Args:
        purpose: what asks for them, as the beginning of a sentence.
        extra: that brings them.

    Raises:
        ModuleNotFoundError: naming the purpose, the module, and the command that installs it.

    >>> with needed_for("drawing figures", "demo"):
    ...     import no_such_module
    Traceback (most recent call last):
        ...
    ModuleNotFoundError: drawing figures needs no_such_module: pip install 'torch-symmetrize[demo]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{purpose} needs {error.name}: {install(extra)}", name=error.name
        ) from error
