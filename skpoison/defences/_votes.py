"""The certificate of a vote: how many voters may change before the winner changes."""

import numpy as np


def certified_radius(votes):
    """Return how many partitions may change in any way without changing the winner of each row.

    Parameters
    ----------
    votes : ndarray of int of shape (n, n_classes)
        Votes for each class, in sorted order. If numbers are equal, the first class wins. A voter
        may abstain.

    Returns
    -------
    radius : ndarray of int of shape (n,)
        Half of the winner's lead, because at worst a changed partition takes one vote from the
        winner and gives it to another class. The other class may be one that no training row has
        yet, and that comes first in the order. 0 where no class has a vote.
    """
    rows, winners = np.arange(len(votes)), votes.argmax(axis=1)
    most = votes[rows, winners]
    # A class before the winner overtakes it with as many votes, a class after it needs one more.
    strength = votes + (np.arange(votes.shape[1]) < winners[:, np.newaxis])
    strength[rows, winners] = 1  # A class that no row has yet: 0 votes, first in the order.
    return np.maximum(most - strength.max(axis=1), 0) // 2
