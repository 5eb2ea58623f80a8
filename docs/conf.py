"""The site: the pages of this folder, and the reference, which is written from what is public.

Built by ``make site`` into build/site; every warning is an error.
"""

import importlib
from pathlib import Path
from typing import Any

import plotly.io
from plotly.io.base_renderers import MimetypeRenderer

import symmetrize

HERE = Path(__file__).parent
# What is public, by page: modules, each with the names that it exports
REFERENCE = {
    "symmetrize": ["symmetrize", "symmetrize.datasets", "symmetrize.representation"],
    "engines": ["symmetrize.engines.lammps", "symmetrize.engines.torch_sim"],
    "backbones": [
        *("backbones", "backbones.pretrained", "backbones.checkpoint"),
        *("backbones.adapters", "backbones.adapters.metatomic"),
    ],
    "equivariance_tests": ["equivariance_tests", "equivariance_tests.suite"],
}

project = "symmetrize"
author = "The symmetrize developers"
copyright = f"2026, {author}. MIT licence"
version = release = symmetrize.__version__

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"),
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
exclude_patterns = ["figures", "gallery/sg_execution_times.rst", "sg_execution_times.rst"]
html_theme = "furo"
html_title = "symmetrize"
html_show_sphinx = False
# the page of a figure that turns needs plotly's script, which lies in its package
html_static_path = [str(Path(plotly.__file__).parent / "package_data" / "plotly.min.js")]
pygments_style, pygments_dark_style = "friendly", "monokai"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_use_rtype = False
napoleon_use_ivar = True
# example scripts in pages are run by the tests; here "no-run" is only a word
myst_fence_as_directive: list[str] = []
suppress_warnings = ["misc.highlighting_failure"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
    "nested_sections": False,
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,
    "image_scrapers": ("matplotlib",),
}


SCRIPT = "../_static/plotly.min.js"  # from a page of the gallery


class OnPages(MimetypeRenderer):
    """A figure of plotly as a part of a page that has plotly's script."""

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        """Its HTML."""
        html = plotly.io.to_html(
            fig_dict, include_plotlyjs=SCRIPT, full_html=False, auto_play=False
        )
        return {"text/html": html}


plotly.io.renderers["pages"] = OnPages()
plotly.io.renderers.default = "pages"


def public(module: str) -> list[str]:
    """Names that a module exports, or defines if it says nothing of that."""
    found = importlib.import_module(module)
    if hasattr(found, "__all__"):
        return sorted(found.__all__)
    return sorted(
        name
        for name, value in vars(found).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", "") == module
    )


def write_reference() -> None:
    """Write a page for each package, with what its public modules export."""
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    for page, modules in REFERENCE.items():
        lines = [f"# {page}", ""]
        for module in modules:
            lines += [f"## `{module}`", ""]
            for name in public(module):
                value = getattr(importlib.import_module(module), name)
                home = getattr(value, "__module__", module)
                if home.partition(".")[0] != module.partition(".")[0]:  # it has its place there
                    continue
                kind = "autoclass" if isinstance(value, type) else "autofunction"
                told = f"{kind}:: {module}.{name}" if callable(value) else f"py:data:: {name}"
                lines += [f"### {name}", "", "```{eval-rst}", f".. {told}", "```", ""]
        (folder / f"{page}.md").write_text("\n".join(lines))


write_reference()
