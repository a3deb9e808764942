"""The caller's data, generators and threads are as they were, bit for bit, after every public call.

With ``random_state=None`` scikit-learn draws from numpy's global generator, by design: here
all have seeds.
"""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skpoison import (
    MLP,
    ChainedAttack,
    CleanLabelPGA,
    LabelFlip,
    NetClassifier,
    PerturbationNormDisplay,
    PoisonedClassifier,
    RandomNoise,
    fit_many,
    project_l2inf,
    project_l21,
    robustness_curve,
    theory,
)
from skpoison.study import validation_curve

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
NOISE = RandomNoise(norm="l2,inf", budget=0.2, random_state=0)
FLIP = LabelFlip(0.3, random_state=0)
ATTACKS = [
    CleanLabelPGA(LogisticRegression(), norm="l2,1", budget=2.0, max_iter=3, random_state=0),
    NOISE,
    FLIP,
    ChainedAttack([NOISE, FLIP]),
]


class Writing(MLP):
    """A module that writes into its input."""

    def forward(self, X):
        return super().forward(X.mul_(0.5))


def net(module=MLP, **kwargs):
    kwargs = {"module__width": 4, "max_epochs": 1, "random_state": 0, **kwargs}
    return NetClassifier(module, **kwargs)


def data(kind):
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 6)), np.arange(60) % 3
    if kind == "frame":
        index = rng.permutation(60)
        frame = pd.DataFrame(X, columns=list("abcdef"), index=index)
        return frame, pd.Series(y.astype(str), index=index)
    if kind == "strided":
        return np.repeat(X, 2, axis=1)[:, ::2], np.repeat(y, 2)[::2]
    X = {
        "float64": X,
        "float32": X.astype(np.float32),
        "fortran": np.asfortranarray(X),
        "bool": X > 0.5,
        "images": X.reshape(60, 1, 2, 3).astype(np.float32),
    }[kind]
    # Not read-only: what writes must be seen to write, and not fail.
    return X, y


def snapshot(X, y):
    parts = (X.to_numpy(), X.index, X.columns, y.to_numpy()) if hasattr(X, "iloc") else (X, y)
    return [np.array(part).tobytes() for part in parts] + [
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        random.getstate(),
        torch.get_num_threads(),
    ]


def run_attacks(X, y):
    for attack in ATTACKS:
        attack.fit(X, y)
        for part in attack.poison(X, y):
            if isinstance(part, np.ndarray):
                assert not np.shares_memory(part, X)
                assert not np.shares_memory(part, y)
        if hasattr(attack, "fit_resample"):
            attack.fit_resample(X, y)
        else:
            attack.fit_transform(X, y)
            attack.transform(X)


def run_nets(X, y):
    for module in (MLP, Writing):
        fitted = net(module).fit(X, y)
        fitted.partial_fit(X, y)
        fitted.predict(X)
        fitted.predict_proba(X)
        fitted.score(X, y)
        net(module, early_stopping=True).fit(X, y, X_val=X, y_val=y)
    rows = torch.as_tensor(np.array(X, dtype=np.float64))
    net().fit(X, y).logits(rows.requires_grad_())
    fit_many([net(random_state=seed) for seed in range(3)], [(X, y)] * 3)


def run_studies(X, y):
    victim = PoisonedClassifier(net(), FLIP).fit(X, y)
    victim.predict(X)
    victim.predict_proba(X)
    victim.score(X, y)
    kwargs = {"param_name": "module__width", "param_range": [2, 4], "cv": 2}
    attacks = {"clean": None, "noise": NOISE, "flips": FLIP}
    for poison in ("fold", "dataset"):
        robustness_curve(
            net(), X, y, attacks=attacks, poison=poison, test=(X, y), random_state=0, **kwargs
        )
    validation_curve(net(), X, y, **kwargs)
    PerturbationNormDisplay.from_estimator(NOISE, X, y).figure_.clear()


def run_functions(X, y):
    delta = np.asarray(X, dtype=np.float64)
    before = delta.tobytes()
    tensor = torch.tensor(delta)
    for project in (project_l21, project_l2inf):
        for value in (delta, tensor):
            for radius in (0.5, 1e9):
                result = project(value, radius)
                if isinstance(result, np.ndarray):
                    assert not np.shares_memory(result, delta)
                else:
                    assert result.data_ptr() != value.data_ptr()
    assert delta.tobytes() == before == tensor.numpy().tobytes()
    two = np.asarray(y) != np.asarray(y)[0]
    theory.ntk_margin(delta, two, n_directions=16, tol=0.5, random_state=0)
    theory.theory_report(delta, two, random_state=0)


@pytest.mark.parametrize(
    "kind", ["float64", "float32", "fortran", "bool", "images", "strided", "frame"]
)
@pytest.mark.parametrize("run", [run_attacks, run_nets, run_studies, run_functions])
def test_nothing_of_the_callers_changes(kind, run):
    # Fails if a tensor shares the caller's memory and a module writes, or a generator is global.
    X, y = data(kind)
    before = snapshot(X, y)
    run(X, y)
    assert snapshot(X, y) == before
