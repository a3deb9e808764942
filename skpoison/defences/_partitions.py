"""Partitions of a training set: the features of a row alone decide its partition."""

from collections import Counter
from hashlib import blake2b

import numpy as np


def split_by_content(contents, y, n_partitions, spellings=None):
    """Return the indices of the rows of each partition, sorted by their content.

    The partition of a row depends on its features alone, not on labels, order or other rows. So a
    row whose label changes stays in its partition. The order within a partition depends on the
    content of its rows, not on their order in X.

    Parameters
    ----------
    contents : list of bytes
        The features of each row: equal bytes for rows of equal values.
    y : ndarray of shape (n,)
        Their labels.
    n_partitions : int
        Number of partitions.
    spellings : callable or None, default=None
        Called with the indices of rows that have their features and label in common with other
        rows. Returns a text for each, which sorts rows that are spelled in different ways (1 and
        True). None: they are all the same.

    Returns
    -------
    parts : list of ndarray of int
        One array for each partition; some may be empty.
    """
    keys = list(zip(contents, map(_word, y.tolist()), strict=True))
    if spellings is not None:
        repeated = Counter(keys)
        same = [i for i, key in enumerate(keys) if repeated[key] > 1]
        for i, spelling in zip(same, spellings(same) if same else [], strict=True):
            keys[i] = (*keys[i], spelling)
    parts = [[] for _ in range(n_partitions)]
    for i, row in enumerate(contents):
        digest = blake2b(row, digest_size=8).digest()
        parts[int.from_bytes(digest, "big") % n_partitions].append(i)
    return [np.array(sorted(part, key=keys.__getitem__), dtype=np.intp) for part in parts]


def _word(label):
    """A label as text: 1, 1.0 and True give the same text, the string "1" gives another.

    One label of another type changes the dtype of all labels of y; their text must not change.
    """
    return repr(label if isinstance(label, str) else int(label))


def seed_of(contents, y, base):
    """A seed that depends only on the number `base` and the rows and labels, in this order."""
    digest = blake2b(str(base).encode(), digest_size=4)
    for row, label in zip(contents, y.tolist(), strict=True):
        digest.update(row)
        digest.update(f"{_word(label)}\0".encode())
    return int.from_bytes(digest.digest(), "big")
