"""A classifier that is trained on poisoned data, for use wherever a classifier is."""

from functools import wraps
from types import MethodType
from typing import Any, Self

from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._typing import Array, Attack, Classifier, Memory, Rows
from .._validation import takes
from .engine import Keys, Store, run_attack, unseeded_in_attack


def _estimator_has(name):
    def check(self):
        # Raises the estimator's own AttributeError where it lacks the method.
        getattr(getattr(self, "estimator_", self.estimator), name)
        return True

    return check


def _with_the_victims_signature(fit):
    """Let `fit` of an instance name `sample_weight` where `fit` of its victim does.

    scikit-learn's ensembles look for this name in the signature, to see who takes weights.
    """

    @wraps(fit)
    def weighted_fit(self, X, y, sample_weight=None, **fit_params):
        if sample_weight is not None:
            fit_params["sample_weight"] = sample_weight
        return fit(self, X, y, **fit_params)

    del weighted_fit.__wrapped__  # Its signature would be shown instead.
    return _FitOfVictim(fit, weighted_fit)


class _FitOfVictim:
    """The descriptor that chooses the function at each access, as `available_if` does."""

    def __init__(self, fit, weighted_fit):
        self.fit, self.weighted_fit = fit, weighted_fit

    def __get__(self, instance, owner=None):
        if instance is None:
            return self.fit
        is_weighted = has_fit_parameter(instance.estimator, "sample_weight")
        return MethodType(self.weighted_fit if is_weighted else self.fit, instance)


class PoisonedClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier that is trained on poisoned data and predicts on clean data.

    `fit` runs a clone of the attack on the training data, and fits a clone of the classifier on the
    result. Rows that are predicted or scored are never attacked. The attack may change features or
    labels.

    Parameters
    ----------
    estimator : classifier
        The victim, cloned at each fit.
    attack : attack or None, default=None
        Anything with ``poison(X, y)``. None leaves the data as they are, for a clean baseline.
    memory : str, path-like, joblib.Memory or None, default=None
        Where to keep poisoned data. An attack then runs once for many victims, such as the widths
        of a grid search. Of an attack without a seed nothing is kept, with a warning, because each
        run draws other numbers: set its `random_state`. The page "What a user may rely on" says
        what must be equal for a result to be reused. The folder holds pickles: never load one from
        a stranger.

    Attributes
    ----------
    estimator_ : classifier
        The victim, fitted on the poisoned data.
    attack_ : attack or None
        The attack that was run.
    classes_ : ndarray of shape (n_classes,)
        The victim's class labels.
    n_features_in_ : int
        Number of features, if the victim has it.
    feature_names_in_ : ndarray of shape (n_features,)
        Feature names, if the victim has them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from skpoison import LabelFlip, PoisonedClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> victim = LogisticRegression(C=0.1)
    >>> poisoned = PoisonedClassifier(victim, LabelFlip(0.4, random_state=0))
    >>> clean = PoisonedClassifier(victim)
    >>> X = X / 16
    >>> bool(cross_val_score(poisoned, X, y).mean() < cross_val_score(clean, X, y).mean())
    True
    """

    def __init__(
        self, estimator: Classifier, attack: Attack | None = None, *, memory: Memory = None
    ) -> None:
        self.estimator = estimator
        self.attack = attack
        self.memory = memory

    @_with_the_victims_signature
    def fit(self, X: Rows, y: ArrayLike, **fit_params: Any) -> Self:
        """Poison the training data and fit the victim on them.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
            Clean training rows, in any container that the attack and the victim take.
        y : array-like of shape (n,)
            Their labels.
        **fit_params
            Passed to the victim's `fit`, such as `sample_weight`. Attacks keep the number and the
            order of rows, so that each weight stays with its row. With metadata routing enabled,
            the victim gets what it requests.

        Returns
        -------
        self : PoisonedClassifier

        Raises
        ------
        TypeError
            If `attack` has no method `poison`.

        Warns
        -----
        UserWarning
            If `memory` keeps nothing: it cannot be written, or the attack has no seed, cannot be
            fingerprinted or does not pickle; or if an entry is damaged and computed again.
        """
        fit_params = self._routed("fit", fit_params)
        attack, X, y = poison_once(self.attack, X, y, self.memory)
        estimator = clone(self.estimator).fit(X, y, **fit_params)
        self.attack_, self.estimator_ = attack, estimator
        return self

    def predict(self, X: Rows) -> Array:
        """Predict labels with the victim, on X as it is.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or frame
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Rows) -> Array:
        """Predict probabilities with the victim, on X as it is.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or frame
            Rows.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Rows) -> Array:
        """Score the classes with the victim, on X as it is.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or frame
            Rows.

        Returns
        -------
        scores : ndarray of shape (n,) or (n, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Rows) -> Array:
        """Predict logarithms of probabilities with the victim, on X as it is.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or frame
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_estimator_has("score"))
    def score(self, X: Rows, y: ArrayLike, **score_params: Any) -> float:
        """Score the victim by its own `score`, on X and y as they are.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or frame
            Rows.
        y : array-like of shape (n,)
            Their labels.
        **score_params
            Passed to the victim's `score`, such as `sample_weight`. With metadata routing enabled,
            the victim gets what it requests.

        Returns
        -------
        score : float
            Accuracy, unless the victim has a score of its own.
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y, **self._routed("score", score_params))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the metadata routing: the victim gets what it requests for `fit` and `score`.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        mapping.add(caller="score", callee="score")
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)

    def _routed(self, method, params):
        """The parameters that go on to the victim's method."""
        if params and get_config()["enable_metadata_routing"]:
            return process_routing(self, method, **params).estimator[method]
        return params

    @property
    def classes_(self) -> Array:
        return self.estimator_.classes_

    @property
    def n_features_in_(self) -> int:
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> Array:
        return self.estimator_.feature_names_in_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        victim = get_tags(self.estimator)
        tags.classifier_tags = victim.classifier_tags
        for kind in ("sparse", "allow_nan"):
            is_taken = self.attack is None or takes(self.attack, kind)
            setattr(tags.input_tags, kind, is_taken and getattr(victim.input_tags, kind))
        return tags


def poison_once(attack, X, y, memory):
    """Run a clone of an attack, or read the result of an earlier run from `memory`.

    Returns (attack, X, y): the clone, and the rows to train on. Without an attack these are the
    rows as they were given.
    """
    if attack is None:
        return None, X, y
    if isinstance(attack, type) or not hasattr(attack, "poison"):
        raise TypeError(f"`attack` must have a method `poison`, or be None, got {attack!r}")
    attack = clone(attack)
    store = Store(memory, unseeded_in_attack(attack))
    with Keys("attack") as keys:
        key = keys.of(attack, X, y) if store.enabled else None
        found = store.find(key)
        if found is None:
            found = attack, *run_attack(attack, X, y)
            store.keep(key, found)
    return found
