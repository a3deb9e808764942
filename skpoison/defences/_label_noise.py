"""Votes of linear classifiers that are fitted on noisy labels: a bound, and what it certifies.

The noise replaces each label with probability `noise`, by one of the other classes at random. A
label then has probability ``1 - noise`` to stay, and ``noise / (n_classes - 1)`` to become any
other class.
"""

import numpy as np

# Newton's method stops at this relative step. The bound is flat at its minimum, and any other t
# gives a bound as well.
_STEP = 1e-5
_MAX_ITER = 100
# The share by which rounding may change the logarithm of a probability, with a wide margin.
ROUNDING = 1e-9


def _probabilities(noise, n_classes):
    """The probabilities that a label stays and that it becomes a given other class."""
    return 1 - noise, noise / (n_classes - 1)


def log_chernoff(weights, own, rival, *, noise, n_classes, slack):
    """Bound the probability that a rival scores at least as much as a row's own class.

    The score of a class is the sum of the weights of the training rows that have its label. With
    t > 0 the probability that the difference S of two scores is at most ``slack`` is at most
    E exp(t (slack - S)), the product of one factor for each training row. Its logarithm is convex
    in t, and is minimised.

    Parameters
    ----------
    weights : ndarray of shape (n_rows, n_train)
        What each training row adds to the score of its label.
    own, rival : ndarray of bool of shape (n_rows, n_train)
        Whether a training row has the label of the own class, and that of the rival.
    noise : float
    n_classes : int
    slack : ndarray of shape (n_rows,)
        How far rounding may change S, >= 0.

    Returns
    -------
    log_probability : ndarray of shape (n_rows,)
        At most 0.
    """
    stays, becomes = _probabilities(noise, n_classes)
    # What a training row subtracts from S is its weight's size, up or down.
    up = np.where(rival, stays, becomes)
    down = np.where(own, stays, becomes)
    size, negative = np.abs(weights), weights < 0
    up, down = np.where(negative, down, up), np.where(negative, up, down)
    neither = 1 - up - down
    mean = np.einsum("ij,ij->i", size, up - down) + slack
    variance = np.einsum("ij,ij->i", size**2, up + down - (up - down) ** 2)
    active = (mean < 0) & (variance > 0)
    t = np.where(active, -mean / np.where(active, variance, 1), 0.0)
    low, high, last = np.zeros_like(t), np.full_like(t, np.inf), np.full_like(t, np.inf)
    for _ in range(_MAX_ITER):
        if not active.any():
            break
        # Everything is divided by exp(t size), which may overflow.
        shrunk = np.exp(-t[:, np.newaxis] * size)
        far = down * shrunk**2
        total = up + neither * shrunk + far
        slopes = (up - far) / total
        slope = np.einsum("ij,ij->i", size, slopes) + slack
        bend = np.einsum("ij,ij->i", size**2, (up + far) / total - slopes**2)
        low, high = np.where(slope < 0, t, low), np.where(slope < 0, high, t)
        with np.errstate(over="ignore"):
            following = t - slope / np.maximum(bend, np.finfo(float).tiny)
        # Newton's steps must stay between the bounds and become half as large; else bisect.
        good = (following > low) & (following < high) & (np.abs(following - t) <= last / 2)
        middle = np.where(np.isfinite(high), (low + high) / 2, 2 * t)
        following = np.where(good, following, middle)
        last = np.abs(following - t)
        active &= last > _STEP * t
        t = np.where(active, following, t)
    shrunk = np.exp(-t[:, np.newaxis] * size)
    logs = np.log(up + neither * shrunk + down * shrunk**2) + t[:, np.newaxis] * size
    return np.minimum(logs.sum(axis=1) + t * slack, 0)


def divergence(noise, n_classes):
    """Kullback and Leibler's divergence of the noise on two labels of one row."""
    stays, becomes = _probabilities(noise, n_classes)
    return (stays - becomes) * np.log(stays / becomes)


def closed_form_radius(log_error, noise, n_classes):
    """Flips that keep a vote above 1/2, from divergences.

    If flips turned an event of probability e into one of probability 1/2, the noise on the flipped
    labels would have a divergence of at least -log(4 e (1 - e)) / 2.
    """
    log_error = np.minimum(log_error * (1 - ROUNDING) + ROUNDING, np.log(0.5))
    needed = -(np.log(4) + log_error + np.log1p(-np.exp(log_error))) / 2
    flips = needed / divergence(noise, n_classes) * (1 - ROUNDING)
    return np.maximum(np.ceil(flips) - 1, 0).astype(np.int64)


def log_tight_errors(noise, n_classes, n_flips, lowest):
    """The least probabilities that 1, 2, ... flips can turn into 1/2, as logarithms.

    By the lemma of Neyman and Pearson, the event of probability 1/2 after the flips that was the
    least probable before holds the noisy labels with the largest ratio of both probabilities. This
    ratio depends only on how many flipped labels are seen as flipped, less how many are seen as
    they were. The list ends with the first value below `lowest`, or with `n_flips`.
    """
    stays, becomes = _probabilities(noise, n_classes)
    ratio = np.log(stays / becomes)
    after = np.ones(1)  # The distribution of the difference -r, ..., r after r flips.
    logs = []
    for r in range(1, n_flips + 1):
        longer = np.zeros(2 * r + 1)
        longer[2:] += stays * after
        longer[1:-1] += (1 - stays - becomes) * after
        longer[:-2] += becomes * after
        after = longer
        seen = np.cumsum(after[::-1])
        k = int(np.searchsorted(seen, 0.5))  # How many values lie in the event as a whole.
        best = after[::-1][: k + 1].copy()
        best[k] += 0.5 - seen[k]
        # Before the flips a value is less probable by exp(-ratio * difference).
        before = np.exp(-ratio * (k - np.arange(k + 1)))
        logs.append(np.log(best @ before) - ratio * (r - k))
        if logs[-1] < lowest:
            break
    return np.array(logs)


def tight_radius(log_error, noise, n_classes, n_flips):
    """Flips that keep a vote above 1/2 and the mean score of its class above the others'.

    For the vote it is the most that follows from its error alone. The mean is safe as long as the
    flips have a smaller divergence than -log(error).
    """
    log_error = log_error * (1 - ROUNDING) + ROUNDING
    needed = log_tight_errors(noise, n_classes, n_flips, log_error.min(initial=0.0))
    # They decrease, because what r flips can do, r + 1 flips can do.
    of_vote = np.searchsorted(-needed, -log_error, side="left")
    of_mean = np.ceil(-log_error / divergence(noise, n_classes) * (1 - ROUNDING)) - 1
    return np.maximum(np.minimum(of_vote, of_mean), 0).astype(np.int64)


def exact_radius(weights, own, rival, *, slack):
    """Flips that keep the score of the own class above the rival's, less `slack`, each (n_rows,).

    A flip lowers the difference of the scores by at most 2 |weight| if it takes a row from one of
    the two classes to the other, and by |weight| if only one of them is involved. The largest come
    first.
    """
    signs = own.astype(np.int8) - rival
    against = np.where(weights > 0, 1 + signs, 1 - signs)
    losses = np.abs(weights) * against
    lead = np.einsum("ij,ij->i", weights, signs) - slack
    losses = -np.sort(-losses, axis=1)
    withstood = np.cumsum(losses, axis=1) < lead[:, np.newaxis]
    return withstood.sum(axis=1)
