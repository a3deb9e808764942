"""The suite: which checks an attack is put to, and on what."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from .._seeding import seed_estimator
from .._typing import Array, Attack, Classifier
from .._validation import check_bool, check_labels
from ._requirements import (
    ALWAYS,
    check_effective,
    check_frames,
    check_idle,
    check_images,
    check_integers,
)


def check_attack(
    attack: Attack | Callable[[Array, Array], Attack],
    *,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    victim: Classifier | None = None,
    idle: str | dict[str, Any] | None = "auto",
    effective: bool = True,
) -> list[str]:
    """Check that an attack keeps to what skpoison and scikit-learn expect of one.

    What `sklearn.utils.estimator_checks.check_estimator` is for estimators: the caller's data stay
    as they are; rows keep number and dtype; labels are of any kind; a budget of 0 changes nothing,
    the order of the rows included; equal seeds give equal bytes; global generators are left alone;
    budget and box hold; clone, pickle, DataFrames, pipelines and `PoisonedClassifier` work; data
    that cannot be used are refused; and the attack hurts more than noise.

    Parameters
    ----------
    attack : attack or callable
        An instance, cloned and seeded by each check, with a budget at which it is meant to hurt. Or
        a function of (X, y) that makes one, where parameters hold rows or labels, as a target does.
    X : array-like of shape (n, d) or (n, c, h, w), default=None
        Rows to attack; None: 500 of scikit-learn's digits, scaled to [0, 1].
    y : array-like of shape (n,), default=None
        Their labels; given together with X.
    victim : classifier, default=None
        What is trained on poisoned rows; None: a logistic regression.
    idle : "auto", dict or None, default="auto"
        Parameters under which the attack does nothing. "auto" sets every ``budget`` and ``rate``,
        nested ones included, to 0. None: there are no such parameters, and this is not checked.
    effective : bool, default=True
        Whether to check that it hurts more than noise: over 5 folds, the score on clean rows must
        lie under that of a control, with a corrected paired 95% interval [1]_. The control is the
        victim trained on noise with the same norm of every row (`RandomNoise`) or, if labels are
        attacked, on clean data. False for what is itself a control.

    Returns
    -------
    passed : list of str
        Names of the checks that were run. Those of DataFrames need pandas.

    Raises
    ------
    AssertionError
        If a check fails; it says what an attack must do and what this one did.
    TypeError
        If `attack` is neither an attack nor a function.
    ValueError
        If `idle` is "auto" and there is neither budget nor rate, or one of X and y is missing.

    References
    ----------
    .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    >>> from skpoison import LabelFlip
    >>> from skpoison.testing import check_attack
    >>> "check_effective" in check_attack(LabelFlip(0.4))
    True
    """
    check_bool(effective, "effective")
    if isinstance(attack, type) or not callable(getattr(attack, "poison", attack)):
        raise TypeError(
            f"`attack` must be an instance, or a function of (X, y) that makes one, got {attack!r}"
        )
    if (X is None) != (y is None):
        raise ValueError("`X` and `y` must be given together, got only one of them")
    is_own = X is None
    if is_own:
        pixels, digits = load_digits(return_X_y=True)
        X, y = pixels[:500] / 16, digits[:500]
    rows = np.asarray(X)
    labels, _ = check_labels(y, len(rows))
    if victim is None:
        victim = LogisticRegression(C=0.1, tol=0.01)
    make = (lambda X, y: attack) if hasattr(attack, "poison") else attack
    attack = make(rows, labels)
    case = Case(attack, make, rows, labels, victim, _idle_parameters(attack, idle))
    checks = [*ALWAYS]
    if idle is not None:
        checks.append(check_idle)
    if is_own:
        checks += [check_images, check_integers]
    if rows.ndim == 2 and importlib.util.find_spec("pandas"):
        checks.append(check_frames)
    if effective:
        checks.append(check_effective)
    for check in checks:
        check(case)
    return [check.__name__ for check in checks]


@dataclass
class Case:
    """An attack, and what it is tried on."""

    attack: object
    make: object
    X: np.ndarray
    y: np.ndarray
    victim: object
    idle: dict

    @property
    def data(self):
        """X and y as an attack that changes nothing returns them: integers become floats."""
        is_float = self.X.dtype.kind == "f"
        dtype = self.X.dtype if is_float else np.result_type(self.X.dtype, np.float32)
        return self.X.astype(dtype, copy=False), self.y

    def fresh(self, X=None, y=None, **params):
        attack = self.attack if X is None else self.make(X, y)
        return seed_estimator(clone(attack).set_params(**params), 0, overwrite=True)

    def require(self, condition, rule, got):
        if not condition:
            raise AssertionError(f"{type(self.attack).__name__} must {rule}, but {got}")

    def require_equal(self, first, second, rule, got):
        first, second = np.asarray(first), np.asarray(second)
        same = first.shape == second.shape and first.dtype == second.dtype
        self.require(same and np.array_equal(first, second), rule, got)


def _idle_parameters(attack, idle):
    if idle != "auto":
        return idle
    found = [n for n in attack.get_params() if n.rpartition("__")[2] in ("budget", "rate")]
    if not found:
        raise ValueError(
            "`idle` must be given for an attack without a `budget` or `rate`: the parameters "
            f"under which it does nothing, or None, got 'auto' with {type(attack).__name__}"
        )
    return dict.fromkeys(found, 0.0)
