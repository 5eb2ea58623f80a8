"""The main job: train a plain network on molecules, wrap it in one line, and compare.

``task`` is what is learned, and ``network`` what learns it; ``job`` goes from beginning to end,
with what ``training``, ``parallel``, ``evaluation``, ``paths``, ``report`` and ``figure`` offer.
"""

from symmetrize.extras import needed_for

with needed_for("the demo", "demo"):
    import matplotlib  # noqa: F401  # used at the end: better missed at the beginning

    from symmetrize.demo.job import run

__all__ = ["run"]
