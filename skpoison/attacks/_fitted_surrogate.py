"""A surrogate after its fit: differentiable logits of the cells that an attack moves."""

from dataclasses import replace

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._frames import head_of, is_frame, is_sparse, narrowing_of
from .._validation import check_rows, takes, without_names
from ._affine import CONSTANT, Origins, through
from ._ascent import Objective
from ._linear import LinearLogits, LinearObjective
from ._surrogate import device_of, fit_surrogate, logits_of, rows_for

# Rows on which the slopes of a Pipeline are compared with what its steps compute.
_N_COMPARED = 16


class FittedSurrogate:
    """A clone of a surrogate, fitted on clean rows.

    Attributes
    ----------
    estimator : classifier
        The fitted surrogate.
    model : classifier
        What computes its logits: the last step of a Pipeline, else the surrogate itself.
    codes : ndarray of int of shape (n,)
        The index of each label in its classes.
    logits : callable
        From a tensor of the model's features to logits, differentiable.
    device : torch.device
        Where the logits take their rows.
    """

    def __init__(self, surrogate, cells, y, random_state):
        X = cells.X if is_pipeline(surrogate) else _numbers(cells.X)
        self.estimator, self.codes = fit_surrogate(surrogate, X, y, random_state)
        self._steps, self.model = _unrolled(self.estimator)
        self.device = device_of(self.model)
        self._is_plain = cells.are_whole_rows and not is_pipeline(surrogate)
        head = self._features_of(head_of(X, _N_COMPARED))
        self.logits = logits_of(self.model, head)
        self._origins = None if self._is_plain else self._origins_of(cells, head)

    def on(self, cells):
        """The logits of these cells, as a function of where they are moved."""
        # Half precision is too coarse for the sums and small steps of an attack.
        dtype = np.float64 if cells.rows.dtype == np.float64 else np.float32
        start = np.array(cells.in_units(), dtype=dtype, order="C")
        start = torch.from_numpy(start).to(self.device)
        if self._is_plain:
            return PlainLogits(self.logits, start)
        features = self._features_of(cells.X)
        dtype = torch.float64 if features.dtype == np.float64 else torch.float32
        features = torch.tensor(features, dtype=dtype, device=self.device)
        missing = cells.missing
        if missing is not None:
            missing = torch.tensor(missing, device=self.device)
        return MovedLogits(self.logits, start, features, missing, self._origins)

    def objective(self, logits, loss):
        """The attack loss of the cells that these logits are of."""
        codes = torch.tensor(self.codes, device=self.device)
        if not isinstance(self.logits, LinearLogits) or self.device.type != "cpu":
            return Objective(logits, loss, codes)
        return LinearObjective(*logits.as_linear(), loss, codes, logits.missing)

    def box_of(self, cells):
        """The box of the cells in their units: None, or sides as tensors on the device."""
        box = cells.box_in_units()
        if box is None or not np.ndim(box[0]):
            return box
        # No rows lie beyond: an infinite side would only cost time.
        if np.isinf(box[0]).all() and np.isinf(box[1]).all():
            return None
        dtype = torch.float64 if cells.rows.dtype == np.float64 else torch.float32
        return tuple(torch.tensor(side, dtype=dtype, device=self.device) for side in box)

    def _features_of(self, X):
        """What the model gets for rows of all columns, as an array."""
        X = rows_for(self.estimator, X)
        with without_names():
            for _, step in self._steps:
                X = step.transform(X)
        X = X.toarray() if is_sparse(X) else _numbers(X) if is_frame(X) else np.asarray(X)
        if X.dtype.kind == "f":
            return X
        # Steps may put numbers beside columns of other dtypes into an array of objects.
        return X.astype(np.float64 if X.dtype.hasobject else np.result_type(X.dtype, np.float32))

    def _origins_of(self, cells, head):
        """Where the features of the model come from, checked on the first rows."""
        n_columns = cells.X.shape[1] if is_frame(cells.X) else cells.X[0].size
        places = range(n_columns) if cells.places is None else cells.places
        origins = Origins(np.full(n_columns, CONSTANT), np.ones(n_columns))
        origins.columns[places] = np.arange(len(places))
        if cells.scale is not None:
            origins.slopes[places] = cells.scale
        for name, step in self._steps:
            origins = through(step, origins, name)
        # A column that one step scales and another encodes must not move either.
        is_held = np.isin(origins.columns, list(origins.held))
        origins = Origins(
            np.where(is_held, CONSTANT, origins.columns), origins.slopes, origins.held
        )
        self._check(origins, cells, head)
        return origins

    def _check(self, origins, cells, head):
        """Raise unless the steps move the features of the first rows as the origins say."""
        first = cells.take(slice(_N_COMPARED))
        rows = first.rows.reshape(len(head), -1).astype(np.float64)
        scale = 1 if cells.scale is None else cells.scale
        step = np.ptp(rows, axis=0) / 8 / scale
        step[list(origins.held)] = 0
        delta = np.tile(step, (len(rows), 1)) * (1 - 2 * (np.arange(len(rows)) % 2))[:, np.newaxis]
        if first.missing is not None:
            delta[first.missing] = 0
        moved = np.empty_like(first.rows)
        first.moved_by(delta.reshape(moved.shape), moved)
        X = head_of(cells.X, _N_COMPARED)
        narrow = narrowing_of(X, moved.dtype, first.all_places())
        if narrow is not None:
            narrow(moved)
        # Rounded to the dtype of the rows, a movement may be another.
        delta = (moved.reshape(rows.shape) - rows) / scale
        first = replace(first, X=X)
        X, _ = first.given_back(first.with_missing(moved), X)
        found = self._features_of(X).reshape(len(head), -1)
        is_moving = origins.columns != CONSTANT
        expected = head.reshape(len(head), -1).astype(np.float64)
        is_known = expected.shape == found.shape == (len(head), len(is_moving))
        if is_known:
            moving = origins.columns[is_moving]
            expected[:, is_moving] += delta[:, moving] * origins.slopes[is_moving]
            size = 1e-3 * np.abs(expected).max(initial=0)
            is_known = np.allclose(expected, found, rtol=1e-3, atol=size)
        if not is_known:
            raise TypeError(
                "`surrogate` must have steps that compute each feature from one column, along a "
                f"line, got others in {type(self.estimator).__name__}"
            )


class PlainLogits:
    """Logits of a model that gets the rows as they are.

    Attributes
    ----------
    start : torch.Tensor or ndarray of shape (n, ...)
        The rows where nothing is moved.
    """

    missing = None

    def __init__(self, logits, start):
        self.logits = logits
        self.start = start

    def __call__(self, position, part):
        """The logits of a part of the rows, moved to `position`."""
        return self.logits(position)

    def as_linear(self):
        """Weight and bias of the scores, where the model is linear."""
        return self.logits.weight.detach().numpy(), self.logits.bias.detach().numpy()[:, None]

    def take(self, index):
        """The same for some of the rows."""
        return PlainLogits(self.logits, self.start[index])


class MovedLogits:
    """Logits of a model whose features move with some columns of the rows."""

    def __init__(self, logits, start, features, missing, origins):
        self.logits = logits
        self.start = start
        self.features = features
        self.missing = missing
        self.origins = origins
        moving = np.flatnonzero(origins.columns != CONSTANT)
        device, dtype = features.device, features.dtype
        self._moving = torch.tensor(moving, device=device)
        self._columns = torch.tensor(origins.columns[moving], device=device)
        self._slopes = torch.tensor(origins.slopes[moving], dtype=dtype, device=device)

    def __call__(self, position, part):
        """The logits of a part of the rows, moved to `position`."""
        moved = position - self.start[part]
        if self.missing is not None:
            moved = moved.masked_fill(self.missing[part], 0)
        moved = moved.reshape(len(moved), -1)[:, self._columns].to(self.features.dtype)
        features = self.features[part]
        flat = features.reshape(len(features), -1)
        flat = flat.index_add(1, self._moving, moved * self._slopes)
        return self.logits(flat.reshape(features.shape))

    def as_linear(self):
        """Weight and bias of the scores as functions of the position, where the model is linear."""
        weight, bias = self.logits.weight.detach(), self.logits.bias.detach()
        start = self.start.reshape(len(self.start), -1).double()
        features = self.features.reshape(len(self.features), -1).double()
        own = weight.new_zeros(len(weight), start.shape[1])
        own.index_add_(1, self._columns, weight[:, self._moving] * self._slopes.double())
        bias = weight @ features.T + bias[:, None] - own @ start.T
        return own.numpy(), bias.numpy()

    def take(self, index):
        """The same for some of the rows."""
        missing = None if self.missing is None else self.missing[index]
        features, start = self.features[index], self.start[index]
        return MovedLogits(self.logits, start, features, missing, self.origins)


def _inner(estimator):
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def takes_missing_cells(estimator):
    """Whether a surrogate may take NaN: a Pipeline may impute, though its tags do not say so."""
    return is_pipeline(estimator) or takes(estimator, "allow_nan")


def is_pipeline(estimator):
    """Whether an estimator, or the one in a FrozenEstimator, is a Pipeline."""
    return isinstance(_inner(estimator), Pipeline)


def _unrolled(estimator):
    """The steps of a Pipeline, as pairs (name, transformer), and its last step."""
    steps, model = [], _inner(estimator)
    while isinstance(model, Pipeline):
        own = [pair for pair in model.steps[:-1] if pair[1] not in (None, "passthrough")]
        steps, model = steps + own, _inner(model.steps[-1][1])
    return steps, model


def _numbers(X):
    """The rows of a frame as an array, as a model without encoding steps takes them."""
    if not is_frame(X):
        return X
    try:
        return check_rows(BaseEstimator(), X, reset=True)
    except ValueError as error:
        raise ValueError(
            f"{error}. A `surrogate` that is a Pipeline can impute and encode such columns"
        ) from None
