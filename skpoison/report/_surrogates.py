"""The model whose gradients an attack follows: a victim, or a linear model of the data."""

import warnings

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import _safe_indexing

from .._frames import is_frame, names_of
from ..attacks import CleanLabelPGA
from ._data_facts import column_kinds

# Rows of each class on which a victim is tried.
ROWS_TRIED = 20
MOST_CATEGORIES = 50


def surrogate_for(victims, X, labels, attack_params):
    """The model for `CleanLabelPGA`, and the name of the victim that it is a copy of, or None."""
    for name, victim in victims.items():
        if _gives_gradients(victim, X, labels, attack_params):
            return victim, name
    return linear_model_of(X), None


def _gives_gradients(victim, X, labels, attack_params):
    """Whether the attack can follow the gradients of a victim: it tries one step on a few rows."""
    rows = np.concatenate(
        [np.flatnonzero(labels == label)[:ROWS_TRIED] for label in np.unique(labels)]
    )
    attack = CleanLabelPGA(victim, **attack_params, budget=1.0, max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            attack.poison(_safe_indexing(X, rows), labels[rows])
        except (TypeError, ValueError, AttributeError):
            return False
    return True


def linear_model_of(X):
    """A logistic regression on scaled numbers and encoded categories, or on flat images."""
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    linear = LogisticRegression(max_iter=1000)
    if not is_frame(X):
        return linear if np.ndim(X) > 2 else make_pipeline(numbers, linear)
    names = {}
    for place, (name, (_, kind)) in enumerate(zip(names_of(X), column_kinds(X), strict=True)):
        # A ColumnTransformer takes an integer for a position.
        names.setdefault(kind, []).append(name if isinstance(name, str) else place)
    encoder = OneHotEncoder(handle_unknown="ignore", max_categories=MOST_CATEGORIES)
    columns = make_column_transformer(
        (numbers, names.get("numbers", [])),
        (encoder, [*names.get("text", []), *names.get("categories", [])]),
    )
    return make_pipeline(columns, linear)
