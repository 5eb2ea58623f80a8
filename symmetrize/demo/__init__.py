"""The main job: train a plain network on molecules, wrap it in one line, and compare.

Everything here uses the public face of the library, as a user would. ``task`` is what is learned,
``training`` and ``evaluation`` are what their names say, ``report`` prints and ``figure`` draws.
"""

from symmetrize.demo.run import run

__all__ = ["run"]
