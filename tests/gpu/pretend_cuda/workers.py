"""Threads and worker processes have the device, too."""

import os
import threading
from pathlib import Path

import joblib
from joblib._parallel_backends import LokyBackend

_bootstrap = threading.Thread._bootstrap_inner


def start_worker():
    """Run in a new process of loky; that it unpickles this function has imported the device."""
    from . import device  # noqa: F401


class Loky(LokyBackend):
    def configure(self, *args, **kwargs):
        kwargs.setdefault("initializer", start_worker)
        return super().configure(*args, **kwargs)


def start(mode):
    """Enter `mode` in each new thread; processes of joblib import the device first."""

    def bootstrap(thread):
        with mode():
            _bootstrap(thread)

    threading.Thread._bootstrap_inner = bootstrap
    folder = str(Path(__file__).parent.parent)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if folder not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, paths)])
    joblib.register_parallel_backend("loky", Loky)
