import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skpoison import MLP, GradientMatching, NetClassifier, RandomNoise, robustness_curve
from skpoison.attacks._fitted_surrogate import PlainLogits
from skpoison.attacks._matching import _cosine, _Slopes
from skpoison.attacks._surrogate import logits_of, parameters_of

NET = NetClassifier(MLP, module__width=16, lr=0.5, batch_size=32, max_epochs=10, random_state=0)


@pytest.fixture(scope="module")
def surrogate(digits):
    return FrozenEstimator(LogisticRegression().fit(*digits))


def target_of(digits, index=0):
    X, y = digits
    return X[index : index + 1], [(y[index] + 3) % 10]


def slopes_of(model, logits, codes, batch_size):
    return _Slopes(PlainLogits(logits, None), codes, parameters_of(model, logits), batch_size)


@pytest.mark.parametrize("kind", ["linear", "two classes", "net"])
def test_gradient_is_that_of_the_cosine(kind, digits):
    # Fails if the derivative of the cosine, or of the parameters' gradient, is wrong.
    X, y = digits
    if kind == "two classes":
        X, y = X[y < 2], y[y < 2]
    model = (clone(NET).set_params(device="cpu") if kind == "net" else LogisticRegression()).fit(
        X, y
    )
    if kind == "net":
        model.module_.double()
    logits = logits_of(model, X)
    codes = torch.tensor(y)
    rows = torch.tensor(X[:8], dtype=torch.float64)
    slopes = slopes_of(model, logits, codes[:8], batch_size=3)
    targets = slopes_of(model, logits, (codes[20:22] + 1) % 2, batch_size=3)
    aim = targets.total(torch.tensor(X[20:22], dtype=torch.float64))
    _, pull = _cosine(slopes.total(rows), aim)
    gradient = slopes.gradient(rows, pull)
    rng = np.random.default_rng(0)
    for _ in range(5):
        step = torch.tensor(rng.standard_normal(rows.shape)) * 1e-6
        ahead, behind = (_cosine(slopes.total(rows + sign * step), aim)[0] for sign in (1, -1))
        expected = float((gradient * step).sum())
        assert (ahead - behind) / 2 == pytest.approx(expected, rel=1e-3, abs=1e-13)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
def test_result_does_not_depend_on_batch_size(norm, digits, surrogate):
    # Fails if the sum of a part is taken for the sum of all rows.
    budget = {"l2,1": 5.0, "l2,inf": 1.0}[norm]
    poisoned = [
        GradientMatching(
            surrogate,
            target_of(digits),
            norm=norm,
            budget=budget,
            max_iter=10,
            batch_size=size,
            random_state=0,
        ).poison(*digits)[0]
        for size in (1, 7, 4096)
    ]
    np.testing.assert_allclose(poisoned[0], poisoned[2], atol=1e-6)
    np.testing.assert_allclose(poisoned[1], poisoned[2], atol=1e-6)


def test_steps_share_a_total_budget_as_the_gradients_do(digits, surrogate):
    # Fails if rows go equally far under "l2,1", as they do under "l2,inf".
    X, y = digits
    spread = {}
    for norm in ("l2,1", "l2,inf"):
        attack = GradientMatching(
            surrogate, target_of(digits), norm=norm, max_iter=1, clip=None, random_state=0
        ).fit(X, y)
        norms = attack.perturbation_norms_[attack.poison_indices_]
        spread[norm] = norms.max() / norms.min()
    assert spread["l2,inf"] == pytest.approx(1, rel=1e-4)
    assert spread["l2,1"] > 1.05


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
def test_the_gradients_are_matched_inside_the_box(norm, digits, surrogate):
    # Fails if the box is left to the base, which cuts off what was matched outside of it.
    X, y = digits
    attack = GradientMatching(
        surrogate, target_of(digits), norm=norm, budget=10.0, max_iter=20, random_state=0
    )
    changed = attack.fit(X, y).poison_indices_
    model = surrogate.estimator
    logits = logits_of(surrogate, X)

    def total(rows, labels):
        codes = torch.tensor(np.searchsorted(model.classes_, labels))
        slopes = slopes_of(surrogate, logits, codes, batch_size=4096)
        return slopes.total(torch.tensor(rows, dtype=torch.float64))

    poisoned, _ = attack.poison(X, y)
    cosine, _ = _cosine(total(poisoned[changed], y[changed]), total(*target_of(digits)))
    assert cosine == pytest.approx(attack.cosine_curve_[-1], abs=1e-6)


def test_only_rows_of_the_wanted_labels_change_and_the_gradients_turn(digits, surrogate):
    # Fails if rows of all labels are drawn, or the cosine is descended.
    X, y = digits
    for fraction in (0.03, 1.0):
        attack = GradientMatching(
            surrogate, (X[:2], [3, 5]), max_fraction=fraction, max_iter=20, random_state=0
        ).fit(X, y)
        assert set(y[attack.poison_indices_]) == {3, 5}
        wanted = min(int(fraction * len(y)), np.isin(y, [3, 5]).sum())
        assert len(attack.poison_indices_) == wanted
        curve = attack.cosine_curve_
        assert len(curve) == attack.n_iter_ + 1 == 21
        assert curve[-1] > curve[0] + 0.1
        assert all(-1 <= cosine <= 1 + 1e-9 for cosine in curve)


def test_targets_are_hit_more_often_than_with_noise(digits):
    # Fails if the labels of the targets are swapped for their true ones, or the descent goes up.
    X, X_test, y, y_test = train_test_split(*digits, test_size=0.3, random_state=0)
    rng, hits = np.random.default_rng(0), {"attack": 0, "noise": 0}
    for row in rng.choice(len(X_test), size=10, replace=False):
        wanted = (y_test[row] + rng.integers(1, 10)) % 10
        attack = GradientMatching(
            LogisticRegression(C=10, max_iter=300),
            (X_test[[row]], [wanted]),
            budget=2.0,
            max_iter=30,
            random_state=0,
        )
        data = {"attack": attack.poison(X, y)}
        noise = RandomNoise(
            norm="l2,inf", budget=2.0, norms=attack.perturbation_norms_, random_state=0
        )
        data["noise"] = noise.poison(X, y)
        for name, poisoned in data.items():
            victim = LogisticRegression(C=10, max_iter=300).fit(*poisoned)
            hits[name] += attack.success_rate(victim)
    assert hits["attack"] >= hits["noise"] + 3


def test_success_rate_counts_the_targets(digits):
    X, y = digits
    model = LogisticRegression().fit(X, y)
    told = model.predict(X[:4])
    told[0] = (told[0] + 1) % 10
    assert GradientMatching(model, (X[:4], told)).success_rate(model) == 0.75


def test_frames_give_what_arrays_give(digits, surrogate):
    X, y = digits
    attack = GradientMatching(surrogate, target_of(digits), max_iter=3, random_state=0)
    expected, _ = attack.poison(X, y)
    columns = [f"pixel {k}" for k in range(64)]
    frame = pd.DataFrame(X, columns=columns)
    np.testing.assert_allclose(attack.poison(frame, y)[0], expected, atol=1e-6)
    attack.set_params(target=(frame[:1], attack.target[1]))
    np.testing.assert_allclose(attack.poison(frame, y)[0], expected, atol=1e-6)


def test_an_aim_without_direction_moves_nothing(digits):
    # A surrogate that has no slope has nothing to match; fails if 0 / 0 gets into the rows.
    X, y = digits
    flat = LogisticRegression().fit(X, y)
    flat.coef_[:], flat.intercept_[:] = 0, np.where(np.arange(10) == 3, 800.0, 0)
    attack = GradientMatching(FrozenEstimator(flat), (X[:1], [3]), random_state=0)
    with pytest.warns(ConvergenceWarning, match="GradientMatching changed nothing"):
        X_poisoned, _ = attack.poison(X, y)
    np.testing.assert_array_equal(X_poisoned, X)
    assert attack.cosine_curve_ == [0.0]
    assert attack.n_iter_ == 0


def test_a_share_of_less_than_a_row_warns(digits, surrogate):
    attack = GradientMatching(surrogate, target_of(digits), max_fraction=0.001, random_state=0)
    with pytest.warns(UserWarning, match="`max_fraction` = 0.001 selects none of the 300 rows"):
        attack.fit(*digits)


def test_a_study_scores_the_targets(digits):
    # Fails if a scorer needs the fitted attack: a study fits clones.
    X, y = digits
    attack = GradientMatching(LogisticRegression(), target_of(digits), max_iter=3)
    curve = robustness_curve(
        LogisticRegression(),
        X[1:],
        y[1:],
        attacks={"clean": None, "matching": attack},
        param_name="C",
        param_range=[1.0],
        cv=2,
        scoring=attack.success_rate,
        random_state=0,
    )
    for scores in curve.scores.values():
        assert np.isin(scores, [0.0, 1.0]).all()
