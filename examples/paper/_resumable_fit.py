"""Train a net epoch by epoch, so that a fit that is killed goes on with the same bits.

Each epoch is a `partial_fit` of its own: between two of them a net holds all that the rest of its
training depends on (weights, optimiser, generator, history), and its pickle is a checkpoint.
"""

import math
import os
import pickle
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

# A checkpoint of a wide net takes a second: short epochs do without.
CHECKPOINT_SECONDS = 5.0


@dataclass
class Progress:
    """A training under way, or at its end.

    Attributes
    ----------
    net : NetClassifier
        As of the last epoch, or at the end with the weights of the best.
    train_loss, held_out_accuracy, test_accuracy : list of float
        One value an epoch; NaN where the test rows were not scored.
    best_epoch : int
        The first epoch with the highest accuracy on the rows held out, from 0.
    best_weights : dict of str to Tensor
        Those after it.
    fit_time : float
        Seconds of training so far, over all starts.
    """

    net: object
    train_loss: list = field(default_factory=list)
    held_out_accuracy: list = field(default_factory=list)
    test_accuracy: list = field(default_factory=list)
    best_epoch: int = -1
    best_weights: dict = field(default_factory=dict)
    fit_time: float = 0.0

    @property
    def n_epochs(self):
        """Number of epochs done."""
        return len(self.train_loss)

    def is_over(self, epochs, patience):
        """Whether all epochs are done, or the best is `patience` epochs old."""
        return self.n_epochs >= epochs or self.n_epochs - 1 - self.best_epoch >= patience


def fit(net, train, held_out, test, *, epochs, patience, test_every, checkpoint, settings, every):
    """Train `net` on `train`, and restore the weights that were best on `held_out`.

    Parameters
    ----------
    net : NetClassifier
        With ``max_epochs=1``, seeded, not fitted.
    train, held_out, test : tuple of (X, y)
        Labels are the indices of the classes.
    epochs, patience : int
        The most epochs, and how many without a higher accuracy on `held_out` end the training.
    test_every : int
        Test rows are scored after each epoch with this number as a divisor, and after each one that
        is the best so far.
    checkpoint : path-like
        Where the training is kept between epochs; removed by `forget`, not here.
    settings : dict
        A checkpoint of other settings is not used.
    every : float
        Seconds between two checkpoints, at least; one is written after an epoch.

    Returns
    -------
    progress : Progress
    """
    progress = _load(checkpoint, settings) or Progress(net)
    written = time.perf_counter()
    while not progress.is_over(epochs, patience):
        _train_epoch(progress, train, held_out, test, test_every)
        if time.perf_counter() - written >= every:
            _save(progress, checkpoint, settings)
            written = time.perf_counter()
    progress.net.module_.load_state_dict(progress.best_weights)
    return progress


def forget(checkpoint):
    """Remove a checkpoint, if there is one: its cell stands in the table."""
    Path(checkpoint).unlink(missing_ok=True)


def distance_from_start(start, progress):
    """How far each parameter went, and its norm at the start.

    Parameters
    ----------
    start : NetClassifier
        The untrained net, of the same seed.
    progress : Progress
        The trained one.

    Returns
    -------
    arrays : dict of ndarray
        ``parameter`` (names), ``distance`` and ``norm_at_start`` (Euclidean).
    """
    start = start.initialize().module_.state_dict()
    end = progress.net.module_.state_dict()
    return {
        "parameter": np.array(list(start)),
        "distance": np.array([float((end[name] - start[name]).norm()) for name in start]),
        "norm_at_start": np.array([float(start[name].norm()) for name in start]),
    }


def _train_epoch(progress, train, held_out, test, test_every):
    net = progress.net
    began = time.perf_counter()
    with warnings.catch_warnings():
        # A net that diverges is a result: its loss stands in the history.
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.partial_fit(*train, classes=net.classes)
    progress.fit_time += time.perf_counter() - began
    progress.train_loss.append(float(net.history[-1, "train_loss"]))
    accuracy = net.score(*held_out)
    is_best = accuracy > max(progress.held_out_accuracy, default=-1.0)
    if is_best:
        progress.best_epoch = progress.n_epochs - 1
        weights = net.module_.state_dict()
        progress.best_weights = {name: value.clone() for name, value in weights.items()}
    progress.held_out_accuracy.append(accuracy)
    is_scored = is_best or progress.n_epochs % test_every == 0
    progress.test_accuracy.append(net.score(*test) if is_scored else math.nan)


def _save(progress, checkpoint, settings):
    checkpoint = Path(checkpoint)
    temporary = checkpoint.with_name(f".{checkpoint.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            pickle.dump((settings, progress), file, protocol=5)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, checkpoint)
    except OSError as error:
        # A full disk costs the checkpoint, and not the fit.
        temporary.unlink(missing_ok=True)
        warnings.warn(
            f"{checkpoint} cannot be written, the fit goes on without it: {error}",
            RuntimeWarning,
            stacklevel=3,
        )


def _load(checkpoint, settings):
    """The training in a checkpoint, or None if there is none of these settings."""
    try:
        with open(checkpoint, "rb") as file:
            saved_settings, progress = pickle.load(file)
    except FileNotFoundError:
        return None
    # pickle raises anything for a file of another version.
    except Exception as error:
        warnings.warn(
            f"{checkpoint} cannot be read, the fit starts again: {error!r}",
            RuntimeWarning,
            stacklevel=3,
        )
        return None
    return progress if saved_settings == settings else None
