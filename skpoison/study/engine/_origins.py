"""Where code comes from: an installed package, which counts with its version, or the user's own.

Installed are Python itself and what a package manager has put in its place. Everything else is
somebody's own code: a script, a notebook, a module beside them, and an editable install too, whose
version does not change with its code.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import site
import sys
import sysconfig
from pathlib import Path

from ..._version import __version__

PYTHON = f"{platform.python_implementation()} {platform.python_version()}"

# What every result depends on, whether a value leads to it or not.
_ALWAYS = ("numpy", "scipy", "sklearn", "skorch", "torch")
# Packages whose distribution has another name; `packages_distributions` would find it too, slowly.
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def hash_package(root):
    """The hash of all code below a folder."""
    digest = hashlib.blake2b(digest_size=20)
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


# Read while skpoison is imported, and no later: an edit after that is not what this process runs.
_SKPOISON = f"skpoison {__version__} {hash_package(Path(__file__).parents[2])}"


def environment():
    """What every result depends on: versions, and the type of the numbers that nets have."""
    dtype = sys.modules["torch"].get_default_dtype()
    return [PYTHON, _SKPOISON, dtype, *(_version_at_run_time(name) for name in _ALWAYS)]


def origin(name):
    """The distribution and version of an installed module, or None if it is somebody's own code."""
    top = name.partition(".")[0]
    if top == "skpoison":
        return _SKPOISON
    module = sys.modules.get(name)
    # A part of a compiled module has no file of its own.
    file = getattr(module, "__file__", None) or _file_of(top)
    found = _origin_of(top, _file_of(top), file)
    return found and f"{found} {_version_at_run_time(top)}"


def _version_at_run_time(top):
    """What the package says of itself: since it was imported, another may have been installed."""
    module = sys.modules.get(top)
    # No `getattr`: some packages warn when their version is read so.
    version = "" if module is None else vars(module).get("__version__", "")
    return f"{top} {version}"


def _file_of(top):
    """The file of a top-level module or package; "built-in" if it is a part of the interpreter."""
    module = sys.modules.get(top)
    if module is None:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            return None
    else:
        spec = getattr(module, "__spec__", None)
        file = getattr(module, "__file__", None)
        if file is not None:
            return file
    if getattr(spec, "origin", None) in ("built-in", "frozen"):
        return "built-in"
    if getattr(spec, "has_location", False):
        return spec.origin
    # A namespace package has folders and no file.
    folder = next(iter(getattr(spec, "submodule_search_locations", None) or ()), None)
    return folder and os.path.join(folder, "__init__.py")


@functools.lru_cache(maxsize=4096)
def _origin_of(top, top_file, file):
    """The origin of a file in a top-level package, which has a file too."""
    if file is None:
        return None
    if file == "built-in":
        return PYTHON
    place = os.path.realpath(file)
    in_site = any(_is_below(place, folder) for folder in _site_folders())
    in_stdlib = any(_is_below(place, folder) for folder in _stdlib_folders())
    if not in_site and in_stdlib and top in sys.stdlib_module_names:
        return PYTHON
    folder = os.path.dirname(os.path.abspath(top_file))
    if os.path.basename(top_file).startswith("__init__."):
        folder = os.path.dirname(folder)
    found = [
        description
        for description, record in _distributions_of(top, folder)
        if in_site or os.path.relpath(file, folder) in record
    ]
    # A file that nobody installed, or an editable install, is own code wherever it lies.
    return " ".join(found) if found and all(found) else None


@functools.cache
def _site_folders():
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    folders.update(site.getsitepackages(), [site.getusersitepackages()])
    return {os.path.realpath(folder) for folder in folders}


@functools.cache
def _stdlib_folders():
    # Compiled modules may lie apart from the others.
    folders = sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED")
    return {os.path.realpath(folder) for folder in folders if folder}


def _is_below(path, folder):
    return path.startswith(folder + os.sep)


@functools.lru_cache(maxsize=1024)
def _distributions_of(top, folder):
    """The distributions in a folder that have brought a top-level package.

    Each is a pair: the description of it, and the list of its files.
    """
    find = importlib.metadata.distributions
    # Most have the name of their package, and to read of all what they bring takes long.
    found = [d for d in find(name=_DISTRIBUTIONS.get(top, top), path=[folder]) if _brings(d, top)]
    found = found or [d for d in find(path=[folder]) if _brings(d, top)]
    return [(_describe(each), _record(each)) for each in found]


def _brings(distribution, top):
    tops = (distribution.read_text("top_level.txt") or "").split()
    return top in tops or any(
        line.startswith((f"{top}/", f"{top}.")) for line in _record(distribution).splitlines()
    )


def _record(distribution):
    """The list of a distribution's files, with their hashes."""
    return distribution.read_text("RECORD") or ""


def _describe(distribution):
    """Name and version of a distribution, or None if it is an editable install."""
    text = f"{distribution.metadata['Name']} {distribution.version}"
    url = distribution.read_text("direct_url.json")
    if url is None:
        return text
    # From a folder or a repository: its code may change while its version stays.
    if json.loads(url).get("dir_info", {}).get("editable"):
        return None
    return f"{text} {hashlib.sha256((url + _record(distribution)).encode()).hexdigest()}"
