"""Partitions of a training set: the features of a row alone decide which members see it."""

from collections import Counter
from hashlib import blake2b

import numpy as np


def pieces_of(contents, n_pieces):
    """Return the piece of each row: a hash of its features, not of labels, order or other rows.

    Parameters
    ----------
    contents : list of bytes
        The features of each row: equal bytes for rows of equal values.
    n_pieces : int
        Number of pieces.

    Returns
    -------
    pieces : ndarray of int of shape (n,)
    """
    digests = (blake2b(row, digest_size=8).digest() for row in contents)
    numbers = (int.from_bytes(digest, "big") % n_pieces for digest in digests)
    return np.fromiter(numbers, dtype=np.intp, count=len(contents))


def members_by_piece(n_pieces, spread):
    """Return the members that see each piece; there are as many members as pieces.

    A piece is seen by the member of its own number, and by those at `spread` - 1 fixed distances
    from it, in a circle. The distances are random numbers of a seed of their own: they depend on
    the two numbers given, and on no training set.

    Parameters
    ----------
    n_pieces : int
        Number of pieces, at least `spread`.
    spread : int
        Number of members that see a piece.

    Returns
    -------
    members : ndarray of int of shape (n_pieces, spread)
    """
    drawn = np.random.RandomState(0).permutation(np.arange(1, n_pieces))
    distances = np.r_[0, drawn[: spread - 1]]
    return (np.arange(n_pieces)[:, np.newaxis] + distances) % n_pieces


def split_by_content(contents, y, n_partitions, spellings=None, spread=1):
    """Return the indices of the rows that each member sees, sorted by their content.

    With `spread` 1 they are partitions. The members that see a row depend on its features alone,
    not on labels, order or other rows. So a row whose label changes stays where it is. The order
    of the rows of a member depends on their content, not on their order in X.

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
    spread : int, default=1
        Number of members that see each row.

    Returns
    -------
    parts : list of ndarray of int, of length ``n_partitions * spread``
        One array for each member; some may be empty.
    """
    keys = list(zip(contents, map(_word, y.tolist()), strict=True))
    if spellings is not None:
        repeated = Counter(keys)
        same = [i for i, key in enumerate(keys) if repeated[key] > 1]
        for i, spelling in zip(same, spellings(same) if same else [], strict=True):
            keys[i] = (*keys[i], spelling)
    n_pieces = n_partitions * spread
    members = members_by_piece(n_pieces, spread)[pieces_of(contents, n_pieces)]
    parts = [[] for _ in range(n_pieces)]
    for i in sorted(range(len(keys)), key=keys.__getitem__):
        for member in members[i]:
            parts[member].append(i)
    return [np.array(part, dtype=np.intp) for part in parts]


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
