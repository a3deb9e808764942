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


def _hash_package():
    """The hash of all files of skpoison."""
    root = Path(__file__).parents[2]
    digest = hashlib.blake2b(digest_size=20)
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


# Read while skpoison is imported, and no later: an edit after that is not what this process runs.
_SKPOISON = f"skpoison {__version__} {_hash_package()}"


def environment():
    """The versions that every result depends on."""
    return [PYTHON, _SKPOISON, *(_version_at_run_time(name) for name in _ALWAYS)]


def origin(name):
    """The distribution and version of an installed module, or None if it is somebody's own code."""
    top = name.partition(".")[0]
    if top == "skpoison":
        return _SKPOISON
    module = sys.modules.get(name, sys.modules.get(top))
    found = _origin_of(top, *_location(module, top))
    return found and f"{found} {_version_at_run_time(top)}"


def _version_at_run_time(top):
    """What the package says of itself: since it was imported, another may have been installed."""
    module = sys.modules.get(top)
    # No `getattr`: some packages warn when their version is read so.
    version = "" if module is None else vars(module).get("__version__", "")
    return f"{top} {version}"


def _location(module, top):
    """The file of a module, and whether it is a part of the interpreter."""
    if module is None:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            spec = None
    else:
        spec = getattr(module, "__spec__", None)
    spec_origin = getattr(spec, "origin", None)
    file = getattr(module, "__file__", None)
    if file is None and getattr(spec, "has_location", False):
        file = spec_origin
    if file is None and module is not None:
        # A namespace package has folders and no file.
        file = next(iter(getattr(module, "__path__", ())), None)
    return file, spec_origin in ("built-in", "frozen")


@functools.lru_cache(maxsize=4096)
def _origin_of(top, file, is_frozen):
    if file is None:
        return PYTHON if is_frozen or top in sys.builtin_module_names else None
    place = os.path.realpath(file)
    in_site = any(_is_below(place, folder) for folder in _site_folders())
    if not in_site and top in sys.stdlib_module_names and _is_below(place, _stdlib()):
        return PYTHON
    found = [_describe(each) for each in _distributions_of(top) if in_site or _lists(each, file)]
    # A file that nobody installed, or an editable install, is own code wherever it lies.
    return " ".join(found) if found and all(found) else None


def _site_folders():
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    folders.update(site.getsitepackages(), [site.getusersitepackages()])
    return [os.path.realpath(folder) for folder in folders]


def _stdlib():
    return os.path.realpath(sysconfig.get_path("stdlib"))


def _is_below(path, folder):
    return path.startswith(folder + os.sep)


@functools.lru_cache(maxsize=4096)
def _distributions_of(top):
    """The distributions that have brought a top-level package."""
    try:
        found = importlib.metadata.distribution(_DISTRIBUTIONS.get(top, top))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        pass
    else:
        tops = (found.read_text("top_level.txt") or "").split()
        if top in tops or f"{top}/" in (found.read_text("RECORD") or ""):
            return [found]
    names = importlib.metadata.packages_distributions().get(top, ())
    return [importlib.metadata.distribution(name) for name in sorted(set(names))]


def _lists(distribution, file):
    """Whether a file is one of those that the distribution has installed."""
    files = distribution.files or ()
    return any(os.path.abspath(distribution.locate_file(each)) == file for each in files)


def _describe(distribution):
    """Name and version of a distribution, or None if it is an editable install."""
    text = f"{distribution.metadata['Name']} {distribution.version}"
    url = distribution.read_text("direct_url.json")
    if url is None:
        return text
    # From a folder or a repository: its code may change while its version stays.
    if json.loads(url).get("dir_info", {}).get("editable"):
        return None
    record = distribution.read_text("RECORD") or ""
    return f"{text} {hashlib.sha256((url + record).encode()).hexdigest()}"
