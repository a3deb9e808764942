"""Partitions of a training set in which each row has its place by itself."""

from hashlib import blake2b

import numpy as np


def without_signed_zeros(X):
    """A copy of X in which equal rows have equal bytes: -0.0 is 0.0."""
    return X + X.dtype.type(0)


def bytes_of_rows(X):
    """The bytes of each row, the same whatever float dtype holds its values."""
    return [row.astype("<f8").tobytes() for row in X]


def split_by_content(X, y, n_partitions):
    """Indices of the rows of each partition, sorted by content.

    The place of a row depends on its features alone, and not on labels, order or other rows: a
    changed label stays in its partition. Within one the order depends on the rows alone, however
    they stood in X.

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
        One a partition; some may be empty.
    """
    keys = list(zip(bytes_of_rows(X), map(_word, y.tolist()), strict=True))
    parts = [[] for _ in range(n_partitions)]
    for i, (row, _) in enumerate(keys):
        digest = blake2b(row, digest_size=8).digest()
        parts[int.from_bytes(digest, "big") % n_partitions].append(i)
    return [np.array(sorted(part, key=keys.__getitem__), dtype=np.intp) for part in parts]


def _word(label):
    """A label in words, the same for a bool, int and float: one label decides what all are."""
    return repr(label if isinstance(label, str) else int(label))


def seed_of(X, y, base):
    """A seed from the content of a partition, in its order, and the number `base` alone."""
    digest = blake2b(str(base).encode(), digest_size=4)
    for row, label in zip(bytes_of_rows(X), y.tolist(), strict=True):
        digest.update(row)
        digest.update(f"{_word(label)}\0".encode())
    return int.from_bytes(digest.digest(), "big")
