"""How Sphinx builds the site; nothing in it, and nothing in the pages, needs a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one

from site_parts import (
    display_math,
    fill_marks,
    hide_private_bases,
    inline_math,
    keep_properties,
    mend_docstring,
    trim_code,
)

import softhebb_spiking

project = "softhebb-spiking"
author = "softhebb-spiking developers"
copyright = author
release = version = softhebb_spiking.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
# Sources of the galleries, which are read by sphinx-gallery only.
exclude_patterns = ["studies", "gallery", "auto_*/*.ipynb", "auto_*/*.json"]

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
myst_dmath_double_inline = False

html_theme = "furo"
html_title = f"softhebb-spiking {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
pygments_style = "tango"
pygments_dark_style = "monokai"

# Types, shapes and units stand in the docstrings; annotations would only repeat the first.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
# scikit-learn makes these for every estimator, with links into its own pages.
autodoc_default_options = {
    "exclude-members": ", ".join(
        f"set_{method}_request" for method in ("fit", "partial_fit", "record", "score", "transform")
    )
}

# Backticks in docstrings name code of all kinds. What Sphinx knows becomes a link, the rest stays
# code; `nitpick_ignore_regex` says so. Every other role and every link has to resolve.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", r".*"),
    # Base classes that other projects document.
    ("py:class", r"(abc|brian2|builtins|collections|enum|lava|numpy|sklearn|typing|typer)\..*"),
]

sphinx_gallery_conf = {
    "examples_dirs": ["studies", "gallery"],
    "gallery_dirs": ["auto_studies", "auto_gallery"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "image_srcset": ["2x"],
    # Its table would load scripts from a network.
    "write_computation_times": False,
    "plot_gallery": "True",
}


def setup(app: Any) -> None:
    """Register what the site adds to Sphinx."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline_math, None), block_renderers=(display_math, None)
    )
    app.connect("source-read", fill_marks)
    app.connect("doctree-read", trim_code)
    app.connect("autodoc-process-bases", hide_private_bases)
    # Before and after napoleon, whose priority is the usual 500.
    app.connect("autodoc-process-docstring", keep_properties, priority=400)
    app.connect("autodoc-process-docstring", mend_docstring, priority=600)
