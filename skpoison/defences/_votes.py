"""What the votes of an ensemble say, and how many of them may change before it says another."""

import numpy as np


def certified_radius(votes):
    """How many partitions may change in any way without changing who wins each row.

    Parameters
    ----------
    votes : ndarray of int of shape (n, n_classes)
        Votes for each class, in sorted order. Of equal numbers the first class wins.

    Returns
    -------
    radius : ndarray of int of shape (n,)
        A changed partition takes a vote from the winner and gives it to another class, at worst:
        half of the winner's lead. One of the others may be a class that no training row has yet and
        that comes first in the order.
    """
    rows, winners = np.arange(len(votes)), votes.argmax(axis=1)
    most = votes[rows, winners]
    # What each class needs to overtake: a class before the winner needs as many votes, one after
    # it needs one more.
    strength = votes + (np.arange(votes.shape[1]) < winners[:, np.newaxis])
    strength[rows, winners] = 1  # The class that no row has yet.
    return (most - strength.max(axis=1)) // 2
