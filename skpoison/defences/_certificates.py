"""The certificates of elections: how many pieces may change before the winner changes.

A piece of the training set that changes may change all that is said by the members that see it, in
any way; other members say what they said. For another label to win, some gap must close, such as
the winner's lead in votes. A member closes a gap by what it may take from it at most, and a piece
by the sum over its members. (A member that sees two of the changed pieces counts twice, which only
lowers the radius.) So the gap closes with no fewer pieces than are needed if those that close most
of it are taken first, and the radius is one less.
"""

from dataclasses import dataclass

import numpy as np

# More pieces than there are.
_NEVER = np.iinfo(np.int64).max


@dataclass
class Reach:
    """Which pieces may change, and who sees them.

    Attributes
    ----------
    members : ndarray of int of shape (n_pieces, spread)
        The members that see each piece.
    may_change : ndarray of bool of shape (n_pieces,)
        Whether a piece may change.
    """

    members: np.ndarray
    may_change: np.ndarray

    def fewest(self, takes, gap):
        """Return the fewest pieces with which gaps may close.

        Parameters
        ----------
        takes : ndarray of int of shape (n_members, n)
            What each member takes from the gap of each row at most, >= 0.
        gap : ndarray of int of shape (n,)
            What must be taken. Nothing if it is <= 0.

        Returns
        -------
        fewest : ndarray of int of shape (n,)
            Very large where all pieces together do not close the gap.
        """
        by_piece = sum(takes[seen] for seen in self.members[self.may_change].T)
        fewest, left = np.zeros_like(gap), np.maximum(gap, 0)
        for amount in range(by_piece.max(initial=0), 0, -1):
            n_pieces = np.minimum((by_piece == amount).sum(axis=0), -(-left // amount))
            fewest += n_pieces
            left = np.maximum(left - n_pieces * amount, 0)
        return np.where(left > 0, _NEVER, fewest)


def radius_of_majority(ballots, reach):
    """Return how many pieces may change in any way without changing the winners of a vote.

    Parameters
    ----------
    ballots : Ballots
    reach : Reach

    Returns
    -------
    radius : ndarray of int of shape (n,)
        0 where no label has a vote.
    """
    votes, winner = ballots.votes(), ballots.leaders()[0]
    overtaken = [_overtake(ballots, reach, votes, winner, rival) for rival in _labels(ballots)]
    return np.maximum(np.min(overtaken, axis=0) - 1, 0)


def radius_of_run_off(ballots, reach, winner):
    """Return how many pieces may change in any way without changing the winners of a run-off.

    A winner loses in one of two ways. Two labels get more votes than it has in the first round. Or
    a rival comes into the run-off beside it, and wins there.

    Parameters
    ----------
    ballots : Ballots
    reach : Reach
    winner : ndarray of int of shape (n,)
        Who wins, as `skpoison.defences._votes.run_off` says.

    Returns
    -------
    radius : ndarray of int of shape (n,)
    """
    votes, leaders = ballots.votes(), ballots.leaders()
    other = np.where(leaders[0] == winner, leaders[1], leaders[0])
    loses = np.full(len(winner), _NEVER)
    for rival in _labels(ballots):
        duel = np.maximum(
            _beat(ballots, reach, winner, rival),
            # Nobody stands before a rival that is the other leader.
            _overtake(ballots, reach, votes, other, rival, is_ahead=other == rival),
        )
        loses = np.minimum(loses, np.where(rival == winner, _NEVER, duel))
    loses = np.minimum(loses, _push_out(ballots, reach, votes, winner))
    return np.maximum(loses - 1, 0)


def _labels(ballots):
    """The index of each label, and 0, the label that no row has yet."""
    return range(ballots.n_classes + 1)


def _gap(votes, label, rival):
    """How many votes must go, in sum over both, for `rival` to stand before `label`."""
    return votes[np.arange(len(votes)), label] - votes[:, rival] + (label < rival)


def _overtake(ballots, reach, votes, label, rival, is_ahead=False):
    """The fewest pieces that let `rival` stand before the label of each row in the first round."""
    takes = np.ones(ballots.choices.shape, dtype=np.int16)
    takes += ballots.choices == label
    if rival:  # Who has no vote for a label has the choice 0.
        takes -= ballots.choices == rival
    fewest = reach.fewest(takes, _gap(votes, label, rival))
    return np.where(is_ahead, 0, np.where(label == rival, _NEVER, fewest))


def _beat(ballots, reach, winner, rival):
    """The fewest pieces that let `rival` win against the winner, in a round between the two."""
    rivals = np.full_like(winner, rival)
    is_for, is_there = ballots.prefers(winner, rivals), ballots.is_there[:, np.newaxis]
    takes = np.where(is_there, np.int16(2) * is_for, np.int16(1))
    ahead = 2 * (is_for & is_there).sum(axis=0) - is_there.sum()
    return reach.fewest(takes, ahead + (winner < rival))


def _push_out(ballots, reach, votes, winner):
    """The fewest pieces that let any two labels stand before the winner in the first round.

    Each of the two must stand before it: at best the two that need the fewest pieces. And a member
    takes 3 at most from the sum of both gaps: as it leaves the winner, each gap closes by 1, and by
    1 more for the label that it goes to. A member that did not vote for the winner takes 1.
    """
    rivals = [*_labels(ballots), 0]  # Two labels may be new.
    alone = [_overtake(ballots, reach, votes, winner, rival) for rival in rivals]
    gaps = [np.where(rival == winner, _NEVER, _gap(votes, winner, rival)) for rival in rivals]
    least = np.sort(gaps, axis=0)[:2].sum(axis=0)
    takes = np.int16(1) + np.int16(2) * (ballots.choices == winner)
    return np.maximum(np.sort(alone, axis=0)[1], reach.fewest(takes, least))
