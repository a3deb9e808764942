"""Training that fails: scores that are finite or NaN, warnings, and never a crash."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeClassifier

from makers import net
from skpoison import (
    MLP,
    CleanLabelPGA,
    LabelFlip,
    MnistConvNet,
    RandomNoise,
    robustness_curve,
)

RNG = np.random.default_rng(0)
X = RNG.random((60, 16))
Y = RNG.permutation(np.arange(60) % 3)
RARE = np.where(np.arange(60) == 7, 9, Y)  # one row of class 9
CASES = {
    "a rate of a million": (X, Y, {"lr": 1e6}),
    "zeros": (X * 0, Y, {}),
    "constants": (X * 0 + 0.5, Y, {}),
    "one row in a class": (X, RARE, {}),
    "fewer rows than a batch": (X[:9], Y[:9], {"batch_size": 128}),
    "one row in a batch": (X[:15], Y[:15], {"batch_size": 1}),
    "one unit": (X, Y, {"module__width": 1}),
    "all at once": (X[:9] * 0, RARE[:9], {"lr": 1e6, "module__width": 1}),
    "an explosion": (X * 1e30, Y, {"lr": 1e6}),
}
DIVERGING = ("a rate of a million", "all at once", "an explosion")


@pytest.mark.parametrize("module", [MLP, MnistConvNet])
@pytest.mark.parametrize("name", CASES)
def test_a_net_predicts_whatever_it_was_trained_on(name, module):
    # Fails if a loss of NaN is an error, or nobody is told of it.
    X, y, kwargs = CASES[name]
    X = np.repeat(np.repeat(X.reshape(-1, 1, 4, 4), 7, 2), 7, 3) if module is MnistConvNet else X
    fitted = net(module, max_epochs=3, **kwargs)
    if name in DIVERGING and module is MLP:
        with pytest.warns(ConvergenceWarning):
            fitted.fit(X, y)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(X, y)
    proba = fitted.predict_proba(X)
    assert proba.shape == (len(X), len(np.unique(y)))
    assert (np.isnan(proba) | ((proba >= 0) & (proba <= 1))).all()
    assert set(fitted.predict(X)) <= set(y)
    assert 0 <= fitted.score(X, y) <= 1


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_study_goes_through_whatever_its_fits_do(name, fused):
    # Fails if a net that diverged, or an attack that cannot move, takes the study along.
    X, y, kwargs = CASES[name]
    X = X / max(X.max(), 1)
    estimator = net(max_epochs=3, **kwargs)
    surrogate = LogisticRegression(max_iter=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curve = robustness_curve(
            estimator,
            X,
            y,
            attacks={
                "clean": None,
                "flips": LabelFlip(0.3),
                "noise": RandomNoise(norm="l2,inf", budget=0.5),
                "pga": CleanLabelPGA(surrogate, norm="l2,inf", budget=0.5, max_iter=3),
                "by itself": CleanLabelPGA(estimator, norm="l2,inf", budget=0.5, max_iter=3),
            },
            param_name="module__depth",
            param_range=[1, 2],
            cv=KFold(3),
            fused=fused,
            random_state=0,
        )
    kinds = {warning.category for warning in caught}
    assert kinds <= {ConvergenceWarning, FitFailedWarning}
    assert (ConvergenceWarning in kinds) or name not in DIVERGING
    for table in (curve.scores, curve.train_scores):
        for scores in table.values():
            assert (np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all()
    # What cannot be attacked fails; what is not attacked does not.
    assert np.isfinite(curve.scores["clean"]).all()
    assert np.isfinite(curve.scores["flips"]).all()


class Unlucky(DecisionTreeClassifier):
    """Fails at one of its fits."""

    fits = 0

    def fit(self, X, y, check_input=True):
        type(self).fits += 1
        if type(self).fits == 8:
            raise RuntimeError("no luck")
        return super().fit(X, y)


def test_one_failed_fit_costs_one_cell():
    Unlucky.fits = 0
    study = {
        "attacks": {"clean": None, "flips": LabelFlip(0.3)},
        "param_name": "max_depth",
        "param_range": [1, 2, 3],
        "cv": 3,
        "random_state": 0,
    }
    with pytest.warns(FitFailedWarning, match=r"(?s)1 of 18 fits of the study failed.*no luck"):
        curve = robustness_curve(Unlucky(), X, Y, **study)
    whole = robustness_curve(DecisionTreeClassifier(), X, Y, **study)
    failed = {name: np.isnan(scores) for name, scores in curve.scores.items()}
    assert sum(cells.sum() for cells in failed.values()) == 1
    for name, cells in failed.items():
        np.testing.assert_array_equal(curve.scores[name][~cells], whole.scores[name][~cells])
