"""Partitions of a training set: the features of a row alone decide its partition."""

from hashlib import blake2b

import numpy as np


def without_signed_zeros(X):
    """A copy of X with 0.0 for -0.0, so that equal rows have equal bytes."""
    return X + X.dtype.type(0)


def bytes_of_rows(X):
    """The bytes of each row as float64, so that they do not depend on the dtype of X."""
    return [row.astype("<f8").tobytes() for row in X]


def split_by_content(X, y, n_partitions):
    """Return the indices of the rows of each partition, sorted by their content.

    The partition of a row depends on its features alone, not on labels, order or other rows. So a
    row whose label changes stays in its partition. The order within a partition depends on the
    content of its rows, not on their order in X.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        Rows, without signed zeros.
    y : ndarray of shape (n,)
        Their labels.
    n_partitions : int
        Number of partitions.

    Returns
    -------
    parts : list of ndarray of int
        One array for each partition; some may be empty.
    """
    keys = list(zip(bytes_of_rows(X), map(_word, y.tolist()), strict=True))
    parts = [[] for _ in range(n_partitions)]
    for i, (row, _) in enumerate(keys):
        digest = blake2b(row, digest_size=8).digest()
        parts[int.from_bytes(digest, "big") % n_partitions].append(i)
    return [np.array(sorted(part, key=keys.__getitem__), dtype=np.intp) for part in parts]


def _word(label):
    """A label as text: 1, 1.0 and True give the same text, the string "1" gives another.

    One label of another type changes the dtype of all labels of y; their text must not change.
    """
    return repr(label if isinstance(label, str) else int(label))


def seed_of(X, y, base):
    """A seed that depends only on the number `base` and the rows and labels, in this order."""
    digest = blake2b(str(base).encode(), digest_size=4)
    for row, label in zip(bytes_of_rows(X), y.tolist(), strict=True):
        digest.update(row)
        digest.update(f"{_word(label)}\0".encode())
    return int.from_bytes(digest.digest(), "big")
