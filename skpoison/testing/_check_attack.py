"""The function `check_attack`: which checks it runs, and on what data."""

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
from .._threads import limit_threads
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


@limit_threads
def check_attack(
    attack: Attack | Callable[[Array, Array], Attack],
    *,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    victim: Classifier | None = None,
    idle: str | dict[str, Any] | None = "auto",
    effective: bool = True,
) -> list[str]:
    """Check that an attack keeps the rules that skpoison and scikit-learn rely on.

    It is for attacks what `sklearn.utils.estimator_checks.check_estimator` is for estimators. It
    checks that the caller's data stay unchanged; rows keep number and dtype; labels may be of any
    kind; a budget of 0 changes nothing, not even the order of the rows; equal seeds give equal
    bytes; global random generators stay unchanged; budget and box hold, in single and half
    precision too; missing cells and, where the attack has these parameters, `columns`, `scale` and
    `whole` are respected; clone, pickle, DataFrames, pipelines and `PoisonedClassifier` work;
    unusable data raise a ValueError; and the attack hurts more than noise.

    Parameters
    ----------
    attack : attack or callable
        An instance, with a budget at which it is meant to hurt. Each check clones and seeds it. If
        its parameters hold rows or labels (a target, for instance), pass a function of (X, y) that
        makes the attack for the data of a check.
    X : array-like of shape (n, d) or (n, c, h, w), default=None
        Rows to attack; None: 500 of scikit-learn's digits, scaled to [0, 1].
    y : array-like of shape (n,), default=None
        Their labels. X and y must be given together.
    victim : classifier, default=None
        The classifier to train on poisoned rows; None: a logistic regression.
    idle : "auto", dict or None, default="auto"
        Parameters under which the attack does nothing. "auto" sets every ``budget`` and ``rate``,
        nested ones included, to 0. None: there are no such parameters, and the check is left out.
    effective : bool, default=True
        Whether to check that the attack hurts more than noise. Over 5 folds the victim must score
        lower on clean rows than a control does, and a corrected paired 95% interval [1]_ of the
        difference must exclude 0. The control is the same classifier, trained on rows with random
        noise of the same norms (`RandomNoise`) or, if the attack changes labels, on clean data. Set
        it to False for an attack that is itself a control.

    Returns
    -------
    passed : list of str
        Names of the checks that were run. Without pandas `check_frames` is left out.

    Raises
    ------
    AssertionError
        If a check fails. The message says what an attack must do and what this attack did.
    TypeError
        If `attack` is neither an attack nor a function.
    ValueError
        If `idle` is "auto" and the attack has neither a `budget` nor a `rate`, or if only one of X
        and y is given.

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
    """An attack, and the data and victim on which it is checked."""

    attack: object
    make: object
    X: np.ndarray
    y: np.ndarray
    victim: object
    idle: dict

    def fresh(self, X=None, y=None, **params):
        attack = self.attack if X is None else self.make(X, y)
        return seed_estimator(clone(attack).set_params(**params), 0, overwrite=True)

    def require(self, condition, rule, got):
        if not condition:
            raise AssertionError(f"{type(self.attack).__name__} must {rule}, but {got}")

    def require_within_budget(self, norms, where, params=None):
        """Require that row norms keep the budget, where the attack has one of ours."""
        params = self.attack.get_params(deep=False) if params is None else params
        if "budget" not in params or params.get("norm") not in ("l2,1", "l2,inf"):
            return
        total = params["norm"] == "l2,1"
        limit = params["budget"] * (np.sqrt(len(norms)) if total else 1.0)
        spent = norms.sum() if total else norms.max()
        self.require(
            spent <= limit * (1 + 1e-6),
            f"stay within `budget` = {params['budget']} ({limit:.8g} in {params['norm']!r})",
            f"spent {spent:.8g}{where}",
        )

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
