"""Elections: who wins by the votes of the members, in one round or in two."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Ballots:
    """What each member of an ensemble says about each of some rows.

    Labels are in sorted order, and one that no training row has yet stands before them all. There
    it wins every tie: no label that an attacker may invent is stronger.

    Attributes
    ----------
    choices : ndarray of int of shape (n_members, n)
        The index of the label that has the member's vote, from 1 on; 0: no vote.
    ranks : ndarray of int of shape (n_members, n, 1 + n_classes), or None
        The place of each label in the member's order of preference; the smaller is preferred.
        Index 0 is the label that no row has yet. None if no run-off is held.
    is_there : ndarray of bool of shape (n_members,)
        Whether a member was trained: one without rows has neither votes nor preferences.
    n_classes : int
        Number of labels.
    """

    choices: np.ndarray
    ranks: np.ndarray | None
    is_there: np.ndarray
    n_classes: int

    def votes(self):
        """The votes for each label, (n, 1 + n_classes); none for the label at index 0."""
        labels = np.arange(1, self.n_classes + 1)
        votes = [np.zeros(self.choices.shape[1], dtype=np.int64)]
        votes += [(self.choices == label).sum(axis=0) for label in labels]
        return np.stack(votes, axis=1)

    def leaders(self):
        """The labels with the most and second most votes, (n,) and (n,).

        Of equal numbers the first label counts as more. If there is a single label, the second is
        0, the label that no row has yet.
        """
        order = 1 + np.argsort(-self.votes()[:, 1:], axis=1, kind="stable")
        return order[:, 0], order[:, 1] if self.n_classes > 1 else np.zeros_like(order[:, 0])

    def prefers(self, labels, others):
        """Whether a member prefers one label of each row to another, (n_members, n)."""
        return self._ranks_of(labels) < self._ranks_of(others)

    def _ranks_of(self, labels):
        return np.take_along_axis(self.ranks, labels[np.newaxis, :, np.newaxis], axis=2)[:, :, 0]


def index_type(n_classes):
    """The smallest type of integers that holds the indices of labels."""
    return np.min_scalar_type(-1 - n_classes)


def ranks_of(scores, places, n_classes):
    """Return the places of labels in an order of preference, as `Ballots` holds them.

    Parameters
    ----------
    scores : ndarray of shape (n, n_own)
        Scores of the labels that a member knows. NaN counts as minus infinity.
    places : ndarray of int of shape (n_own,)
        Their indices among all labels.
    n_classes : int
        Number of all labels. One that the member does not know has minus infinity.

    Returns
    -------
    ranks : ndarray of int of shape (n, 1 + n_classes)
        From 0, the best. Of equal scores the first label is better.
    """
    every = np.full((len(scores), 1 + n_classes), -np.inf)
    every[:, 1 + places] = np.where(np.isnan(scores), -np.inf, scores)
    order = np.argsort(-every, axis=1, kind="stable")
    ranks = np.empty(every.shape, dtype=index_type(n_classes))
    np.put_along_axis(ranks, order, np.arange(1 + n_classes)[np.newaxis], axis=1)
    return ranks


def majority(ballots):
    """Return the label with the most votes, (n,); of equal numbers the first label wins."""
    return ballots.leaders()[0]


def run_off(ballots):
    """Return the winner of a second round between the two leaders of the first, (n,).

    A member votes for the one that it prefers. Of equal numbers the first label wins.
    """
    first, second = ballots.leaders()
    ahead = 2 * _count(ballots, first, second) - ballots.is_there.sum()
    is_first = (second == 0) | (ahead > 0) | ((ahead == 0) & (first < second))
    return np.where(is_first, first, second)


def shares(ballots, vote):
    """Return the share of each label of the votes that decide, (n, n_classes).

    They decide in the first round or, in a run-off, in the second; labels that do not take part in
    it have 0 then. Where nobody votes, all labels have the same share.
    """
    if vote == "run-off" and ballots.n_classes > 1:
        votes = np.zeros((ballots.choices.shape[1], 1 + ballots.n_classes), dtype=np.int64)
        rows, (first, second) = np.arange(len(votes)), ballots.leaders()
        votes[rows, first] = _count(ballots, first, second)
        votes[rows, second] = ballots.is_there.sum() - votes[rows, first]
    else:
        votes = ballots.votes()
    votes = votes[:, 1:]
    total = votes.sum(axis=1, keepdims=True)
    return np.where(total > 0, votes / np.maximum(total, 1), 1 / ballots.n_classes)


def _count(ballots, labels, others):
    return ballots.prefers(labels, others)[ballots.is_there].sum(axis=0)
