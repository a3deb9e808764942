"""Results that outlive the process: a joblib.Memory by key."""

import os

from sklearn.utils.validation import check_memory as check_sklearn_memory


def check_memory(memory):
    """Return a joblib.Memory for a path, a joblib.Memory, or None (which keeps nothing)."""
    return check_sklearn_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)


class Store:
    """Values by key, kept in a joblib.Memory.

    The keys are fingerprints, so joblib never hashes what they stand for.
    """

    def __init__(self, memory):
        memory = check_memory(memory)
        self.enabled = memory.location is not None
        self._recall = memory.cache(_recall, ignore=["value"])

    def find(self, key):
        """Return the value of a key, or None if there is none."""
        if key is None or not self._recall.check_call_in_cache(key, None):
            return None
        value = self._recall(key, None)
        if value is None:
            # An entry that joblib could not read, and replaced by what it was told: nothing.
            self._recall.call_and_shelve(key, None).clear()
        return value

    def keep(self, key, value):
        """Keep a value, unless the key is None."""
        if key is not None:
            self._recall(key, value)


def _recall(key, value):
    """The value that a key was first given."""
    return value
