"""Sphinx's settings; the one command that builds the site is in CONTRIBUTING.md."""

import os

# The gallery's nets are small: a second thread only gets in the way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import skpoison

project = "skpoison"
author = copyright = "the skpoison developers"
release = version = skpoison.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build", "**/sg_execution_times.rst", "sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "literal"  # In docstrings `name` is code.

myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
numpydoc_show_class_members = False  # templates/autosummary/class.rst lists them
autodoc_typehints = "none"  # the docstrings say more
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "download_all_examples": False,
    "min_reported_time": 0,
    "show_memory": False,
    "remove_config_comments": True,
    "reference_url": {"skpoison": None},
    "doc_module": ("skpoison",),
    "backreferences_dir": "gen_modules/backreferences",
    "inspect_global_variables": False,
    "capture_repr": ("_repr_html_",),
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = "skpoison"
html_css_files = ["site.css"]
html_sidebars = {"*": []}  # Pages of the first level have no sections beside them.
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "header_links_before_dropdown": 4,
}


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out what scikit-learn, skorch and torch document themselves."""
    module = getattr(getattr(obj, "fget", obj), "__module__", None) or ""
    return None if module.startswith("skpoison") and obj.__doc__ else True


def setup(app):
    app.connect("autodoc-skip-member", skip_inherited)
