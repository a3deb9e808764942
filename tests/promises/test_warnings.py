"""A warning points to the line that called the package, whatever lies between the two."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from makers import X, Y
from skpoison import MLP, CleanLabelPGA, LabelFlip, NetClassifier, PoisonedClassifier, fit_many
from skpoison.study import robustness_curve, validation_curve
from skpoison.theory import ntk_margin


def wild(**kwargs):
    """A net whose training diverges."""
    settings = {"lr": 1e6, "max_epochs": 3, "batch_size": 10, "random_state": 0, **kwargs}
    return NetClassifier(MLP, **settings)


def unspent():
    """An attack that cannot spend its budget."""
    return CleanLabelPGA(LogisticRegression(), budget=1e3, max_iter=2, random_state=0)


def study(estimator, attacks, **kwargs):
    return robustness_curve(estimator, X, Y, attacks=attacks, random_state=0, cv=2, **kwargs)


CALLS = {
    "fit": lambda: wild().fit(X, Y),
    "a Pipeline's fit": lambda: PoisonedClassifier(
        make_pipeline(FunctionTransformer(), wild()), None
    ).fit(X, Y),
    "one by one": lambda: fit_many([wild()], [(X, Y)], fused=False),
    "begun, then alone": lambda: fit_many(
        [wild(batch_size=b) for b in (10, 9)], [(X, Y)] * 2, fused=True
    ),
    "a stack": lambda: fit_many([wild() for _ in range(4)], [(X, Y)] * 4, fused=True),
    "poison": lambda: unspent().poison(X, Y),
    "fit_transform": lambda: unspent().fit_transform(X, Y),
    "PoisonedClassifier": lambda: PoisonedClassifier(LogisticRegression(), unspent()).fit(X, Y),
    "no row": lambda: CleanLabelPGA(LogisticRegression(), max_fraction=1e-3).fit(X, Y),
    "a study's net": lambda: study(wild(), {"clean": None}, param_name="lr", param_range=[1e6]),
    "a study's attack": lambda: study(
        LogisticRegression(), {"A": unspent()}, param_name="C", param_range=[1.0]
    ),
    "failed fits": lambda: study(
        DecisionTreeClassifier(),
        {"C": LabelFlip(0.3)},
        param_name="max_depth",
        param_range=[-1, 1],
    ),
    "validation_curve": lambda: validation_curve(
        NetClassifier(MLP, batch_size=5), X, Y, param_name="lr", param_range=[-1.0, 0.1], cv=3
    ),
    "theory": lambda: ntk_margin(X[:20], np.where(Y[:20] % 2, 1, -1), n_directions=50, max_iter=2),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_names_the_line_of_the_caller(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CALLS[name]()
    assert caught, "the call does not warn"
    assert {(w.filename, str(w.message)) for w in caught if w.filename != __file__} == set()
