"""Elections and their certificates, against plain definitions and against every change.

A ballot is what a member says of a row. Here ballots are made up, so that many elections are held
at once; `test_partition_ensemble.py` has real members.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skpoison.defences._certificates import Reach, radius_of_majority, radius_of_run_off
from skpoison.defences._partitions import members_by_piece
from skpoison.defences._votes import Ballots, majority, ranks_of, run_off, shares

MODES = [
    (vote, spread, is_label)
    for vote in ("majority", "run-off")
    for spread in (1, 2, 3)
    for is_label in (False, True)
]


def winner_and_radius(vote, ballots, reach):
    if vote == "majority":
        return majority(ballots), radius_of_majority(ballots, reach)
    winner = run_off(ballots)
    return winner, radius_of_run_off(ballots, reach, winner)


def made_up(rng, n_members, n_rows, n_classes, is_there, *, favourite=0.0):
    """Ballots for many rows; each has a label that members choose with another share at least."""
    n_labels = 1 + n_classes
    choices = rng.integers(0, n_labels, size=(n_members, n_rows))
    ranks = np.argsort(rng.random((n_members, n_rows, n_labels)), axis=2)
    chosen = rng.integers(1, n_labels, size=n_rows)
    share = favourite + (1 - favourite) * rng.random(n_rows)
    likes = rng.random((n_members, n_rows)) < share
    choices = np.where(likes, chosen, choices)
    best = likes[:, :, None] & (np.arange(n_labels) == chosen[:, None])
    ranks = np.argsort(np.argsort(np.where(best, -1, ranks), axis=2), axis=2)
    choices[~is_there] = 0
    return Ballots(choices, ranks, is_there, n_classes)


def changed(ballots, members, choices, last, n_new):
    """Ballots after `members` (n_members, n) said `choices`, with labels that are new before all.

    A changed member has the label `last` of each row as its last preference. It is the winner's: an
    attacker has no better order. Members that did not change know no new label.
    """
    n_old = ballots.n_classes + 1
    shift = np.where(ballots.choices > 0, ballots.choices + n_new, 0)
    ranks = np.empty((*ballots.choices.shape, n_old + n_new), dtype=int)
    # The new labels are as good as the one that no row has: where it stands, before all others.
    ranks[:, :, : n_new + 1] = ballots.ranks[:, :, :1] + np.arange(n_new + 1)
    after = ballots.ranks[:, :, 1:] > ballots.ranks[:, :, :1]
    ranks[:, :, n_new + 1 :] = ballots.ranks[:, :, 1:] + n_new * after
    worst = np.arange(n_old + n_new) == (last + n_new)[:, None]
    ranks = np.where(members[:, :, None], np.where(worst, n_old + n_new, ranks), ranks)
    is_there = ballots.is_there[:, None] | members
    return Ballots(
        np.where(members, choices, shift), ranks, is_there.any(axis=1), ballots.n_classes + n_new
    )


def fewest_that_break(vote, ballots, reach, winner):
    """How many pieces of one row must change until another label wins, by trying them all."""
    n_members = len(ballots.choices)
    pieces = np.flatnonzero(reach.may_change)
    for r in range(1, len(pieces) + 1):
        for some in itertools.combinations(pieces, r):
            members = np.unique(reach.members[list(some)])
            for n_new in (0, 1, 2) if reach.members.shape[1] == 1 else (0, 2):
                options = range(ballots.n_classes + n_new + 1)
                tried = np.array(list(itertools.product(options, repeat=len(members)))).T
                n_tried = tried.shape[1]
                choices = np.zeros((n_members, n_tried), dtype=int)
                choices[members] = tried
                is_changed = np.zeros((n_members, n_tried), dtype=bool)
                is_changed[members] = True
                many = Ballots(
                    np.repeat(ballots.choices, n_tried, axis=1),
                    np.repeat(ballots.ranks, n_tried, axis=1),
                    ballots.is_there,
                    ballots.n_classes,
                )
                last = np.repeat(winner, n_tried)
                after = changed(many, is_changed, choices, last, n_new)
                elect = majority if vote == "majority" else run_off
                if (elect(after) != winner + n_new).any():
                    return r
    return len(pieces) + 1


@pytest.mark.parametrize(("vote", "spread", "is_label"), MODES)
def test_no_change_of_as_many_pieces_as_the_radius_breaks_an_election(vote, spread, is_label):
    # Every way to change the pieces of small elections, with members that are not there, ties, and
    # up to two new labels. Fails if a radius is one larger: some are tight, and all are if the
    # members vote once and see one piece each. (Then a radius one smaller fails as well.)
    rng = np.random.default_rng(spread)
    n_tight = n_certified = 0
    n_members = {1: 4, 2: 5, 3: 7}[spread]  # So many are needed for radii above 0.
    for k in range(40 if spread == 1 else 12):
        n_classes = 1 + k % (3 if spread == 1 else 2)
        is_there = rng.random(n_members) < (0.75 if k % 2 else 1)
        is_there[rng.integers(n_members)] = True
        ballots = made_up(rng, n_members, 1, n_classes, is_there, favourite=1 - 0.3 * (k % 3))
        may_change = rng.random(n_members) < 0.7 if is_label else np.ones(n_members, bool)
        reach = Reach(members_by_piece(n_members, spread), may_change)
        if is_label:  # A piece with rows has members that are there.
            is_there[reach.members[may_change]] = True
        winner, radius = winner_and_radius(vote, ballots, reach)
        broken = fewest_that_break(vote, ballots, reach, winner)
        # No more pieces than all may change.
        held = min(radius[0], may_change.sum())
        assert held < broken, (k, radius, broken)
        n_tight += held == broken - 1
        n_certified += radius[0] > 0
        if vote == "majority" and spread == 1:
            assert held == broken - 1
    assert n_certified >= 2
    assert n_tight >= 4


@pytest.mark.parametrize(("vote", "spread", "is_label"), MODES)
def test_ten_thousand_random_changes_break_no_election(vote, spread, is_label):
    # Larger elections: each row is one, with as many pieces changed as its radius. The pieces are
    # those that matter most, or random ones, and all changed members go over to one rival, or to
    # random labels. Fails for radii that are one larger.
    rng = np.random.default_rng(10 * spread)
    n_rows, n_certified = 1000, 0
    for k in range(10):
        n_members, n_classes = spread * int(rng.integers(4, 12)), int(rng.integers(1, 5))
        is_there = rng.random(n_members) < (0.9 if k % 2 else 1)
        is_there[0] = True
        may_change = rng.random(n_members) < 0.8 if is_label else np.ones(n_members, bool)
        reach = Reach(members_by_piece(n_members, spread), may_change)
        if is_label:
            is_there[reach.members[may_change]] = True
        ballots = made_up(rng, n_members, n_rows, n_classes, is_there, favourite=0.5)
        winner, radius = winner_and_radius(vote, ballots, reach)
        n_certified += (radius > 0).sum()
        likes = (ballots.choices == winner) + 0.5 * rng.random(ballots.choices.shape)
        weight = likes[reach.members].sum(axis=1) * rng.integers(0, 2, size=n_rows)
        weight = np.where(may_change[:, None], weight + 1e-3 * rng.random(weight.shape), -1)
        place = np.argsort(np.argsort(-weight, axis=0), axis=0)
        pieces = (place < radius) & may_change[:, None]
        members = np.zeros(ballots.choices.shape, dtype=bool)
        for seen in reach.members.T:
            members[seen] |= pieces
        n_new = k % 3
        rivals = rng.integers(0, n_classes + n_new + 1, size=(n_members, n_rows))
        single = rng.integers(1, n_classes + n_new + 1, size=n_rows)
        choices = np.where(rng.random(n_rows) < 0.7, single, rivals)
        # Who is not there in `ballots` may be there in some rows only: those have no preference.
        after = changed(ballots, members, choices, winner, n_new)
        if (after.is_there != is_there).any():
            after = [one_row(after, is_there | members[:, i], i) for i in range(n_rows)]
        else:
            after = [after]
        elect = majority if vote == "majority" else run_off
        found = np.concatenate([elect(some) for some in after])
        # Where nothing changed, there is no new label.
        assert ((found == winner + n_new) | (radius == 0)).all()
    assert n_certified > 4000


def one_row(ballots, is_there, i):
    part = slice(i, i + 1)
    return Ballots(ballots.choices[:, part], ballots.ranks[:, part], is_there, ballots.n_classes)


def slow_majority(votes):
    return max(votes, key=lambda label: (votes[label], -label))


def slow_radius(takes, gap, reach):
    """How few pieces take `gap`, the largest first: the theorem of finite aggregation."""
    by_piece = [sum(takes[m] for m in seen) for seen in reach.members[reach.may_change]]
    total = np.cumsum([0, *sorted(by_piece, reverse=True)])
    return int(np.argmax(total >= gap)) if (total >= gap).any() else 10**6


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_winners_and_radii_are_those_of_the_papers(seed):
    # Against the definitions, written for one row and without arrays. Fails if a radius is one
    # smaller or larger.
    rng = np.random.default_rng(seed)
    spread, n_classes = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    n_members = spread * int(rng.integers(1, 5))
    is_there = rng.random(n_members) < rng.choice([0.5, 0.9])
    is_there[0] = True
    ballots = made_up(rng, n_members, 1, n_classes, is_there, favourite=rng.random())
    reach = Reach(members_by_piece(n_members, spread), rng.random(n_members) < 0.9)
    choices, ranks = ballots.choices[:, 0], ballots.ranks[:, 0]
    there = np.flatnonzero(is_there)
    labels = range(1, n_classes + 1)
    votes = {label: int((choices == label).sum()) for label in labels}
    rivals = [0, *labels]

    def gap(a, b):  # Votes that must go for b to stand before a.
        return votes.get(a, 0) - votes.get(b, 0) + (a < b)

    def overtake(a, b):
        takes = [1 + (c == a) - (b > 0 and c == b) for c in choices]
        return slow_radius(takes, gap(a, b), reach)

    first = slow_majority(votes)
    few = min(overtake(first, b) for b in rivals if b != first)
    assert majority(ballots).tolist() == [first]
    assert min(radius_of_majority(ballots, reach)[0], 10**5) == min(max(few - 1, 0), 10**5)

    others = {label: n for label, n in votes.items() if label != first}
    second = slow_majority(others) if others else None
    winner = first
    if second is not None:
        ahead = sum(1 if ranks[m][first] < ranks[m][second] else -1 for m in there)
        winner = first if ahead > 0 or (ahead == 0 and first < second) else second
    assert run_off(ballots).tolist() == [winner]
    loser = {first: second, second: first}[winner]

    def beat(b):
        takes = [
            2 * (ranks[m][winner] < ranks[m][b]) if m in there else 1 for m in range(n_members)
        ]
        lead = sum(1 if ranks[m][winner] < ranks[m][b] else -1 for m in there)
        return slow_radius(takes, lead + (winner < b), reach)

    duels = [
        max(beat(b), 0 if b == loser or loser is None else overtake(loser, b))
        for b in rivals
        if b != winner
    ]
    pushed = sorted(b for b in [0, *rivals] if b != winner)
    sums = min(gap(winner, a) + gap(winner, b) for a, b in itertools.combinations(pushed, 2))
    both = max(
        sorted(overtake(winner, b) for b in pushed)[1],
        slow_radius([1 + 2 * (c == winner) for c in choices], sums, reach),
    )
    few = min(*duels, both)
    found = radius_of_run_off(ballots, reach, run_off(ballots))[0]
    assert min(found, 10**5) == min(max(few - 1, 0), 10**5)


def test_preferences():
    # Fails if a label that the member never saw is not the last, or a tie goes to the last label.
    scores = np.array([[0.5, 2.0], [1.0, 1.0], [np.nan, -np.inf], [-np.inf, 0.0]])
    ranks = ranks_of(scores, np.array([0, 2]), 3)
    order = np.argsort(ranks, axis=1).tolist()
    # The label that no row has, and the second one, which this member never saw, are -inf.
    assert order == [[3, 1, 0, 2], [1, 3, 0, 2], [0, 1, 2, 3], [3, 0, 1, 2]]


def test_shares_of_a_run_off():
    # Labels 1 to 3 have 3, 2 and 2 votes; the two who voted for 3 prefer 2 to 1.
    choices = np.array([1, 1, 1, 2, 2, 3, 3])[:, np.newaxis]
    orders = [[0, 1, 2], [0, 1, 2], [0, 1, 2], [1, 0, 2], [1, 0, 2], [2, 1, 0], [2, 1, 0]]
    scores = -np.argsort(orders, axis=1).astype(float)
    ranks = np.stack([ranks_of(row[np.newaxis], np.arange(3), 3) for row in scores])
    ballots = Ballots(choices, ranks, np.ones(7, bool), 3)
    assert majority(ballots).tolist() == [1]
    assert run_off(ballots).tolist() == [2]
    np.testing.assert_allclose(shares(ballots, "run-off"), [[3 / 7, 4 / 7, 0]])
    np.testing.assert_allclose(shares(ballots, "majority"), [[3 / 7, 2 / 7, 2 / 7]])


@given(st.integers(1, 40), st.integers(1, 6))
def test_each_piece_is_seen_by_as_many_members_as_it_should(n_partitions, spread):
    n_pieces = n_partitions * spread
    members = members_by_piece(n_pieces, spread)
    assert members.shape == (n_pieces, spread)
    assert (members[:, 0] == np.arange(n_pieces)).all()
    for some in members:
        assert len(set(some)) == spread
    # Each member sees as many pieces as a piece has members.
    assert (np.bincount(members.ravel(), minlength=n_pieces) == spread).all()
