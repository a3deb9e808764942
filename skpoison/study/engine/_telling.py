"""Scorers that are told which rows of the fold that a victim was trained on are poisoned."""

import inspect
from functools import partial
from typing import Any

from sklearn import get_config
from sklearn.metrics import check_scoring
from sklearn.utils.metadata_routing import get_routing_for_object

# What a scorer may ask for: indices into the training fold, and the fold as it was trained on.
POISON = ("poison_indices", "X_poisoned", "y_poisoned")


class TellingScorer:
    """A scorer that is also called with `poison`, a dict of `POISON`, and passes on what is asked.

    Parameters
    ----------
    scoring : callable or dict
        The argument `scoring` of the study.
    scorer : callable
        What scikit-learn's `check_scoring` makes of it.
    requested : set of str
        The names that the scorer asks for by metadata requests.
    raise_exc : bool
        As in `check_scoring`.
    """

    def __init__(self, scoring: Any, scorer: Any, requested: set[str], raise_exc: bool) -> None:
        self.scoring = scoring
        self.scorer = scorer
        self.requested = requested
        self.raise_exc = raise_exc

    def __call__(self, estimator, X, y, *, poison, **params):
        scorer = self.scorer
        if _names_poison(self.scoring):
            scoring = _bound(self.scoring, poison)
            scorer = check_scoring(estimator, scoring=scoring, raise_exc=self.raise_exc)
        return scorer(estimator, X, y, **params, **{name: poison[name] for name in self.requested})


def telling_scorer(scoring, scorer, raise_exc):
    """A `TellingScorer` if the scorer asks for the poison, else the scorer as it is.

    A scorer asks by a metadata request, or, if it is a function that has no requests, by a
    parameter of the name.
    """
    is_routing = get_config()["enable_metadata_routing"]
    # Without routing, an estimator need not know its requests, and its own `score` gets nothing.
    requested = set() if scoring is None and not is_routing else _requested(scorer)
    if requested and not is_routing:
        raise ValueError(
            f"`scoring` must not request metadata, got a request for {', '.join(sorted(requested))}"
            ", while scikit-learn's metadata routing is off: call "
            "`sklearn.set_config(enable_metadata_routing=True)`"
        )
    if requested or _names_poison(scoring):
        return TellingScorer(scoring, scorer, requested, raise_exc)
    return scorer


def _requested(scorer):
    try:
        routing = get_routing_for_object(scorer)
    except NotImplementedError:
        return set()  # The scorer is the estimator's own, and this has no metadata routing.
    return set(routing.consumes("score", POISON))


def _names_poison(scoring):
    """Whether a function among the scorers has a parameter that is in `POISON`."""
    if isinstance(scoring, dict):
        return any(map(_names_poison, scoring.values()))
    return bool(_named(scoring))


def _named(function):
    if not callable(function) or hasattr(function, "get_metadata_routing"):
        return []
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    return [name for name in POISON if name in parameters]


def _bound(scoring, poison):
    if isinstance(scoring, dict):
        return {name: _bound(scorer, poison) for name, scorer in scoring.items()}
    named = _named(scoring)
    return partial(scoring, **{name: poison[name] for name in named}) if named else scoring
