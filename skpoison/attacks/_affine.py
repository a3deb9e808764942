"""What a fitted Pipeline does to the cells that an attack moves: each by itself, along a line.

The steps that are known here compute each feature from one column, as slope times value plus
constant, or from columns that an attack holds fixed. So the features of moved rows are the features
of the clean rows plus slopes times movements, and gradients need nothing of the steps but slopes.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

CONSTANT = -1


@dataclass(frozen=True, eq=False)
class Origins:
    """Where features come from.

    Attributes
    ----------
    columns : ndarray of int of shape (m,)
        The column that each feature moves with, or CONSTANT.
    slopes : ndarray of shape (m,)
        How far it moves, for a movement of its column by 1.
    held : frozenset of int
        Columns that some step encodes, so that they must not move.
    """

    columns: np.ndarray
    slopes: np.ndarray
    held: frozenset = frozenset()

    def __getitem__(self, index):
        return Origins(self.columns[index], self.slopes[index], self.held)

    def times(self, factors):
        """The origins after each feature was multiplied by its factor."""
        return Origins(self.columns, self.slopes * factors, self.held)

    def encoded(self, n_features):
        """The origins of features that are made of these by an encoder."""
        return Origins(
            np.full(n_features, CONSTANT),
            np.zeros(n_features),
            self.held | set(self.columns[self.columns != CONSTANT].tolist()),
        )


def joined(parts):
    """Origins side by side."""
    return Origins(
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.slopes for part in parts]),
        frozenset().union(*(part.held for part in parts)),
    )


def through(step, origins, name):
    """The origins of the features that a fitted step makes; `name` says which step it is."""
    if step is None or step == "passthrough":
        return origins
    rule = RULES.get(type(step))
    if rule is None:
        known = ", ".join(kind.__name__ for kind in RULES)
        raise TypeError(
            f"`surrogate` must have steps that scale, impute or encode ({known}), got "
            f"{type(step).__name__} as step {name!r}"
        )
    return rule(step, origins, name)


def _refuse(step, name, parameter):
    raise ValueError(
        f"`surrogate` must have {parameter[0]}={parameter[1]} in {type(step).__name__}, got "
        f"{getattr(step, parameter[0])!r} in step {name!r}"
    )


def _pipeline(step, origins, name):
    for inner, part in step.steps:
        origins = through(part, origins, f"{name}__{inner}" if name else inner)
    return origins


def _columns(step, origins, name):
    names = list(getattr(step, "feature_names_in_", ()))
    made, weights = {}, step.transformer_weights or {}
    for inner, part, columns in step.transformers_:
        place = step.output_indices_.get(inner)
        if part == "drop" or place is None or place.start == place.stop:
            continue
        own = origins[_positions(columns, names, len(origins.columns))]
        own = through(part, own, f"{name}__{inner}" if name else inner)
        made[place.start] = own.times(weights.get(inner, 1))
    parts = [made[start] for start in sorted(made)]
    return joined(parts) if parts else origins[:0]


def _positions(columns, names, n_columns):
    """The positions of columns that a fitted ColumnTransformer names in one of its ways."""
    if isinstance(columns, slice):
        if isinstance(columns.start or columns.stop, str):
            first = None if columns.start is None else names.index(columns.start)
            last = None if columns.stop is None else names.index(columns.stop) + 1
            columns = slice(first, last)
        return np.arange(n_columns)[columns]
    # One column, or a list, a tuple, an array, an index or a Series.
    chosen = np.atleast_1d(np.asarray(columns))
    if not chosen.size:
        return np.empty(0, dtype=np.intp)
    if isinstance(chosen[0], str):
        return np.array([names.index(label) for label in chosen.tolist()])
    return np.arange(n_columns)[chosen]


def _standard(step, origins, name):
    return origins if step.scale_ is None else origins.times(1 / step.scale_)


def _min_max(step, origins, name):
    if step.clip:
        _refuse(step, name, ("clip", False))
    return origins.times(step.scale_)


def _max_abs(step, origins, name):
    if getattr(step, "clip", False):
        _refuse(step, name, ("clip", False))
    return origins.times(1 / step.scale_)


def _robust(step, origins, name):
    return origins.times(1 / step.scale_) if step.with_scaling else origins


def _imputer(step, origins, name):
    # Another value may be the result of a movement. A None or NA becomes NaN in numbers.
    is_hole = step.missing_values is None or step.missing_values != step.missing_values
    if not (is_hole is True or str(step.missing_values) == "<NA>"):
        _refuse(step, name, ("missing_values", "nan"))
    kept = [i for i, value in enumerate(step.statistics_) if not _is_missing(value)]
    made = origins if step.keep_empty_features else origins[kept]
    if step.indicator_ is None:
        return made
    n_indicators = len(step.indicator_.features_)
    constant = Origins(np.full(n_indicators, CONSTANT), np.zeros(n_indicators))
    return joined([made, constant])


def _is_missing(value):
    return value is None or (isinstance(value, (float, np.floating)) and np.isnan(value))


def _encoder(step, origins, name):
    return origins.encoded(len(step.get_feature_names_out()))


def _function(step, origins, name):
    if step.func is not None:
        _refuse(step, name, ("func", None))
    return origins


def _frozen(step, origins, name):
    return through(step.estimator, origins, name)


RULES = {
    Pipeline: _pipeline,
    ColumnTransformer: _columns,
    StandardScaler: _standard,
    MinMaxScaler: _min_max,
    MaxAbsScaler: _max_abs,
    RobustScaler: _robust,
    SimpleImputer: _imputer,
    OneHotEncoder: _encoder,
    OrdinalEncoder: _encoder,
    FunctionTransformer: _function,
    FrozenEstimator: _frozen,
}
