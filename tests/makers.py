"""The small data, nets, attacks, defences and studies that tests of several packages make."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from skpoison import (
    MLP,
    BackdoorPatch,
    BaseFeatureAttack,
    BaseLabelAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    NetClassifier,
    PartitionEnsemble,
    RandomNoise,
    robustness_curve,
)
from skpoison.study import validation_curve

NAN, INF = float("nan"), float("inf")
KEPT = []


def keep(array):
    """An array that must be the same, bit for bit, after every case of bad input."""
    # Writable: what writes must be seen to write.
    KEPT.append(np.asarray(array))
    return array


RNG = np.random.default_rng(0)
X = keep(RNG.random((40, 6)))
Y = keep(np.arange(40) % 4)
IMAGES = keep(X.reshape(40, 1, 2, 3).copy())
NARROW = keep(X[:, :3].copy())
FRAME = pd.DataFrame(X.copy(), columns=list("abcdef"))
DELTA = keep(RNG.standard_normal((5, 3)))
INSTANCE = MLP(6, 4)
LOGISTIC = LogisticRegression()


def holed(value, shape=X.shape):
    X_bad = X.copy()
    X_bad[3, 2] = value
    return keep(X_bad.reshape(shape))


HOLED = {value: holed(value) for value in (NAN, INF, -INF)}

# Attacks.


def pga(surrogate=LOGISTIC, **kwargs):
    return CleanLabelPGA(surrogate, **{"max_iter": 2, "random_state": 0, **kwargs})


def noise(**kwargs):
    return RandomNoise(**{"norm": "l2,inf", "budget": 0.1, "random_state": 0, **kwargs})


def flip(*args, **kwargs):
    return LabelFlip(*args, **{"random_state": 0, **kwargs})


def chosen(selection="loss", surrogate=None, **kwargs):
    surrogate = LogisticRegression() if surrogate is None else surrogate
    return flip(0.3, selection=selection, surrogate=surrogate, **kwargs)


def match(target=None, surrogate=None, **kwargs):
    target = (X[:2], Y[1:3]) if target is None else target
    surrogate = LogisticRegression() if surrogate is None else surrogate
    return GradientMatching(surrogate, target, **{"max_iter": 2, "random_state": 0, **kwargs})


def backdoor(patch=(0.5,), *args, **kwargs):
    return BackdoorPatch(patch, *args, **{"random_state": 0, **kwargs})


class NoPoison(BaseFeatureAttack):
    """An attack that fails where it is run."""

    def _perturb(self, X, y, random_state):
        raise ZeroDivisionError("the attack broke")


class NoLabels(BaseLabelAttack):
    def _relabel(self, X, codes, n_classes, random_state):
        raise ZeroDivisionError("the attack broke")


# Victims, defences and studies.


def net(module=MLP, **kwargs):
    return NetClassifier(module, **{"max_epochs": 1, "random_state": 0, **kwargs})


def stopping(**kwargs):
    return net(early_stopping=True, **kwargs)


def parted(n_partitions=3, **kwargs):
    kwargs = {"estimator": LogisticRegression(), "random_state": 0, **kwargs}
    return PartitionEnsemble(n_partitions=n_partitions, **kwargs)


def trimmed(fraction=0.1, n_rounds=1, **kwargs):
    kwargs = {"estimator": LogisticRegression(), "random_state": 0, **kwargs}
    return LossTrimming(fraction=fraction, n_rounds=n_rounds, **kwargs)


def study(estimator=None, X=X, y=Y, run=robustness_curve, **kwargs):
    arguments = {
        "attacks": {"clean": None},
        "param_name": "module__width",
        "param_range": [2],
        "cv": 2,
        **kwargs,
    }
    if run is validation_curve:
        del arguments["attacks"]
    else:
        arguments.setdefault("random_state", 0)
    return run(net() if estimator is None else estimator, X, y, **arguments)


class NoFit(LogisticRegression):
    def fit(self, X, y):
        raise ZeroDivisionError("the estimator broke")
