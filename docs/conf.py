"""The site: the pages of this folder, and the reference, which is written from what is public.

Built by ``make site`` into build/site; every warning is an error.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import plotly.io
from plotly.io.base_renderers import MimetypeRenderer

import symmetrize

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from update_public import MODULES, names  # noqa: E402

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


def write_reference() -> None:
    """Write a page for each package, with what its public modules export."""
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    written: set[int] = set()  # what several modules export stands with the first
    for page, modules in MODULES.items():
        lines = [f"# {page}", ""]
        for module in modules:
            lines += [f"## `{module}`", ""]
            for name in names(module):
                value = getattr(importlib.import_module(module), name)
                home = getattr(value, "__module__", module)
                # of another package, which has its own page
                if home.partition(".")[0] != module.partition(".")[0] or id(value) in written:
                    continue
                written.add(id(value))
                kind = "autoclass" if isinstance(value, type) else "autofunction"
                told = f"{kind}:: {module}.{name}" if callable(value) else f"py:data:: {name}"
                lines += [f"### {name}", "", "```{eval-rst}", f".. {told}", "```", ""]
        (folder / f"{page}.md").write_text("\n".join(lines))


write_reference()
