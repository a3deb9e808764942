"""The memory of studies: results by key, in the folder of a joblib.Memory."""

import hashlib
import os
import pickle

import joblib
from sklearn.utils.validation import check_memory as check_sklearn_memory

from ..._warnings import warn_caller


def check_memory(memory):
    """Return a joblib.Memory for a path, a joblib.Memory, or None, which keeps nothing."""
    memory = os.fspath(memory) if isinstance(memory, os.PathLike) else memory
    memory = check_sklearn_memory(memory)
    if not isinstance(memory, joblib.Memory):
        raise TypeError(f"`memory` must be a path, a joblib.Memory or None, got {memory!r}")
    return memory


class Store:
    """Values by key, kept in a joblib.Memory. If reading or writing fails, results are recomputed.

    `Memory.cache` is not used: it clears all results of a function if the file with the function's
    source is damaged. An entry is the value's pickle and a hash of key and pickle, because a pickle
    with a wrong byte may still load.

    Parameters
    ----------
    memory : str, path-like, joblib.Memory or None
        The folder; None keeps nothing.
    unseeded : str or None, default=None
        Name of a parameter without which each run draws other numbers, if there is one. Nothing is
        kept then, with a warning.
    """

    def __init__(self, memory, unseeded=None):
        self._backend = None
        try:
            self._backend = check_memory(memory).store_backend
        except OSError as error:
            _warn(f"`memory` cannot be written, and the study goes on without it: {error}")
        if self._backend is not None and unseeded is not None:
            self._backend = None
            _warn(
                f"`memory` keeps nothing while `{unseeded}` is None: each call draws other seeds, "
                f"and finds no earlier result. Set `{unseeded}` to an int"
            )
        self.enabled = self._backend is not None

    def find(self, key):
        """Return the value of a key, or None if there is no entry or it is damaged."""
        if key is None or not self._backend.contains_item(_address(key)):
            return None
        try:
            mark, pickled = self._backend.load_item(_address(key), verbose=0)
            if mark == _mark(key, pickled):
                return pickle.loads(pickled)
            problem = "another content than was kept"
        except (KeyError, FileNotFoundError):
            return None  # Another process has cleared the entry.
        except Exception as error:
            problem = repr(error)
        # We do not remove the entry: the new value will replace it, and another process may already
        # have replaced it by a good one.
        _warn(f"an entry of `memory` is damaged, and computed again: {key}: {problem}")
        return None

    def keep(self, key, value):
        """Keep a value, unless the key is None. joblib warns of a value that cannot be written."""
        if key is None:
            return
        try:
            pickled = pickle.dumps(value)
        except Exception as error:
            _warn(f"a result does not pickle, so that `memory` does not keep it: {error!r}")
        else:
            self._backend.dump_item(_address(key), (_mark(key, pickled), pickled), verbose=0)


def _mark(key, pickled):
    return hashlib.sha256(key.encode() + pickled).hexdigest()


def _address(key):
    return "skpoison", key


def _warn(message):
    warn_caller(message, UserWarning)
