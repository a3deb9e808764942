"""The studies that a report rests on, and what it says besides them."""

import platform
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable

from .._frames import count_rows, plain_labels
from .._typing import Attack, Classifier, Memory, Seed
from .._validation import check_int, check_labels, check_real
from .._version import __version__
from .._warnings import warn_caller
from ..study import robustness_curve
from ._certificates import certify
from ._code import code_of
from ._data_facts import data_facts
from ._default_attacks import default_attacks, quiet_defaults
from ._own_attacks import check_own_attacks, facts_of_own, strength_name_of
from ._poisoned_rows import poisoned_rows
from ._result import RobustnessReport
from ._scores import score_under_attack
from ._strengths import check_strengths


def robustness_report(
    estimator: Classifier | Mapping[str, Classifier],
    X: ArrayLike,
    y: ArrayLike,
    *,
    attacks: str | Mapping[str, Attack] = "default",
    strengths: Mapping[str, Iterable[float]] | None = None,
    drop: float = 0.05,
    cv: Any = None,
    n_repeats: int = 1,
    n_jobs: int | None = None,
    memory: Memory = None,
    random_state: Seed = None,
    progress: bool = False,
) -> RobustnessReport:
    """Measure how much poison a classifier takes, and report it in sentences, tables and pictures.

    The report rests on studies: `robustness_curve` over the strength of the attacks, and
    `breaking_point` on its curves. Training folds are poisoned, and clean held-out rows judge.

    Parameters
    ----------
    estimator : classifier or dict of str to classifier
        The victim, or several victims by name, such as a classifier and a defence of it. They are
        trained on the same poisoned rows, so that they compare. A single victim has the name of its
        class.
    X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
        Clean rows, in any container that the victims take.
    y : array-like of shape (n,)
        Their labels.
    attacks : "default" or dict of str to attack, default="default"
        "default" takes the attacks that suit the data, and `RobustnessReport.left_out` says why
        others are left out:

        - "flips at random": `LabelFlip` of labels drawn at random;
        - "flips by loss": `LabelFlip` of the labels whose change surprises a copy of the first
          victim that scores classes most; flips at random are its control;
        - "noise", where there are columns of numbers: `RandomNoise`, each row in a random
          direction;
        - "gradient ascent", where there are columns of numbers: `CleanLabelPGA` on a copy of the
          first victim that gives gradients, or else on a logistic regression (the report then says
          "Transferred"); noise of the same size is its control;
        - "patch", for images: `BackdoorPatch` of a small square.

        A dict has attacks of your own choice. Each must have a strength.
    strengths : dict of str to array-like of float, default=None
        Strengths >= 0 by name of attack, for those that shall not have the defaults: 5, 10, 20, 30
        and 40% for flips; 1/8, 1/4, 1/2, 1 and 2 times the square root of the number of columns for
        noise and gradient ascent, in standard deviations of the columns; 1, 2, 5, 10 and 20% for
        the patch; for an attack of yours, 5 to 40% if its strength is a rate, and 1/4, 1/2, 1, 2
        and 4 times its own budget if it is a budget. The strength 0, clean training, is always
        there.
    drop : float, default=0.05
        The fall of accuracy whose strength is sought, between 0 and 1: 0.05 means five points.
    cv : int, cross-validation generator or iterable, default=None
        The folds, as in `robustness_curve`; None: 5 stratified folds of shuffled rows.
    n_repeats : int, default=1
        How often to repeat everything, on the same folds with new seeds.
    n_jobs : int, default=None
        Number of jobs for joblib. The result does not depend on it.
    memory : str, path-like, joblib.Memory or None, default=None
        Where to keep each finished fit and attack, as in `robustness_curve`.
    random_state : int, RandomState instance or None, default=None
        Seeds the studies. None draws a seed, which the report names.
    progress : bool, default=False
        Whether to show progress bars.

    Returns
    -------
    report : RobustnessReport

    Raises
    ------
    ValueError
        If an argument is out of its range, or a study fails.
    TypeError
        If an argument is of a wrong type.

    Warns
    -----
    UserWarning
        If `memory` is set and `random_state` is no int, so that nothing is kept.

    See Also
    --------
    skpoison.study.robustness_curve : One study, with all its options.

    Notes
    -----
    A victim with a method `certify`, which returns a number of changes for each row, has its
    certified accuracy in the report: changes of rows for a `PartitionEnsemble`, and flips of labels
    for all others. If no victim has this method, the report certifies a `PartitionEnsemble` of
    copies of the first victim, on clean training data. This is another model than the victim: its
    certificate says nothing of the victim.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skpoison import LabelFlip, robustness_report
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> report = robustness_report(
    ...     DecisionTreeClassifier(max_depth=3), X, y, attacks={"flips": LabelFlip()},
    ...     strengths={"flips": [0.1, 0.3, 0.45]}, cv=3, random_state=0,
    ... )
    >>> print(report)
    The model is right on 9...% of clean rows it has not seen; the most frequent class has 62.7% ...
    The model loses 5 points of accuracy at a rate of ...% [...%, ...%] of flips.
    Another model, PartitionEnsemble of DecisionTreeClassifier, is right on 9...% of clean rows, ...
    """
    start = time.perf_counter()
    X, y = indexable(X, y)
    labels, classes = check_labels(y, count_rows(X))
    labels = np.ravel(plain_labels(labels))
    drop = check_real(drop, "drop")
    if not 0 < drop < 1:
        raise ValueError(f"`drop` must lie between 0 and 1, got {drop}")
    check_int(n_repeats, "n_repeats", low=1)
    victims = _victims(estimator)
    is_default = isinstance(attacks, str) and attacks == "default"
    tried, facts, left_out = _attacks(attacks, strengths, victims, X, labels)
    if memory is not None and not isinstance(random_state, (int, np.integer)):
        memory = None
        warn_caller(
            f"`memory` keeps nothing while `random_state` is no int, got {random_state!r}: each "
            "call draws other seeds, and finds no earlier result",
            UserWarning,
        )
    if isinstance(random_state, (int, np.integer)):
        seed = int(random_state)
    else:
        seed = int(check_random_state(random_state).randint(2**31 - 1))
    # All studies have these folds. Tables in files are often sorted, so the default shuffles them.
    folds = StratifiedKFold(5, shuffle=True, random_state=seed) if cv is None else cv
    splits = list(check_cv(folds, y, classifier=True).split(X, y))
    common = {
        "cv": splits,
        "n_repeats": n_repeats,
        "n_jobs": n_jobs,
        "memory": memory,
        "random_state": seed,
        "progress": progress,
    }
    score = partial(
        score_under_attack,
        classes=classes,
        success_rates={
            name: attack.success_rate for name, attack in tried.items() if facts[name].has_success
        },
    )
    with quiet_defaults() if is_default else nullcontext():
        studies = [
            robustness_curve(
                victims,
                X,
                y,
                attacks={name: tried[name] for name in group},
                param_name="strength",
                param_range={name: facts[name].strengths for name in group},
                scoring=score,
                **common,
            )
            for group in _groups(facts)
        ]
    n_train = min(len(train) for train, _ in splits)
    certificates, uncertified = certify(victims, X, y, n_train=n_train, **common)
    about_rows, counts = data_facts(X, labels, classes)
    report = RobustnessReport(
        studies=studies,
        victims={name: code_of(victim) for name, victim in victims.items()},
        attacks=facts,
        classes=counts,
        data=about_rows,
        settings={
            "drop": drop,
            "cv": code_of(folds),
            "n_splits": len(splits),
            "n_repeats": int(n_repeats),
            "random_state": seed,
        },
        left_out=left_out | uncertified,
        certificates=certificates,
        versions=_versions(),
        call=_call(estimator, attacks, strengths, drop, cv, n_repeats, seed),
    )
    with quiet_defaults() if is_default else nullcontext():
        report.poisoned = {
            name: poisoned_rows(
                attack, strength_name_of(attack), _telling_strength(report, name), X, y, seed
            )
            for name, attack in tried.items()
        }
    report.made = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": round(time.perf_counter() - start, 1),
    }
    return report


def _victims(estimator):
    """The victims by name; a single one has the name of its class."""
    if isinstance(estimator, Mapping):
        return dict(estimator)
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"`estimator` must be a classifier, got {estimator!r}")
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return {type(last).__name__: estimator}


def _attacks(attacks, strengths, victims, X, labels):
    """The attacks, the words for them, and the reasons for leaving others out, by name."""
    if isinstance(attacks, str) and attacks == "default":
        chosen, left_out = default_attacks(victims, X, labels)
        found = check_strengths(strengths, chosen)
        facts = {
            name: one.facts.with_strengths(found.get(name, one.facts.strengths))
            for name, one in chosen.items()
        }
        return {name: one.attack for name, one in chosen.items()}, facts, left_out
    check_own_attacks(attacks)
    found = check_strengths(strengths, attacks)
    facts = {name: facts_of_own(name, attack, found.get(name)) for name, attack in attacks.items()}
    return dict(attacks), facts, {}


def _groups(facts):
    """Names of attacks that one study can vary together: those with equally many strengths."""
    groups = {}
    for name, own in facts.items():
        groups.setdefault(len(own.strengths), []).append(name)
    return groups.values()


def _telling_strength(report, attack):
    """The smallest strength at which the first victim has lost the drop, or the largest."""
    point = report.breaking_point(next(iter(report.victims)), attack)
    drop = report.settings["drop"]
    return next(
        (strength for strength, fall in point.drops.items() if fall.mean >= drop),
        max(report.attacks[attack].strengths),
    )


def _versions():
    return {
        "skpoison": __version__,
        "Python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scikit-learn", "torch")},
        "system": f"{platform.system()} {platform.machine()}",
    }


def _call(estimator, attacks, strengths, drop, cv, n_repeats, seed):
    """The call as code."""
    given = {
        "attacks": attacks,
        "strengths": strengths,
        "drop": drop,
        "cv": cv,
        "n_repeats": n_repeats,
        "random_state": seed,
    }
    words = ", ".join(f"{name}={code_of(value)}" for name, value in given.items())
    return f"robustness_report({code_of(estimator)}, X, y, {words})"
