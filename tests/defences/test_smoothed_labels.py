"""The certificate of `SmoothedLabelClassifier` is sound, and as large as its bound allows."""

import itertools
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skpoison import LabelFlip, LossTrimming, SmoothedLabelClassifier, robustness_curve
from skpoison.defences import _smoothed_labels
from skpoison.defences._label_noise import (
    closed_form_radius,
    divergence,
    log_chernoff,
    log_tight_errors,
    tight_radius,
)

BOUNDS = ("closed_form", "tight", "exact")
RNG = np.random.default_rng(0)
TWINS = np.array([[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 2 + [[1.0, 1.0]] * 2)
# Designs of a few training rows, the number of classes, and parameters.
DESIGNS = {
    "two classes": (RNG.standard_normal((7, 2)), 2, {"alpha": 5.0, "noise": 0.02}),
    "equal rows, so that votes and scores tie": (TWINS, 2, {"alpha": 1.0, "noise": 0.01}),
    "no intercept": (
        RNG.standard_normal((6, 2)) + 1,
        2,
        {"alpha": 0.5, "noise": 0.001, "fit_intercept": False},
    ),
    "three classes": (RNG.standard_normal((6, 2)), 3, {"alpha": 9.0, "noise": 1e-3}),
    "three classes, equal rows": (TWINS[1:], 3, {"alpha": 9.0, "noise": 1e-4}),
    # Weights are below 0 here: a class that loses all its rows could win with a score of 0.
    "three classes, no intercept": (
        np.array([[1.0], [1.1], [0.9], [1.0], [1.2], [1.05]]),
        3,
        {"alpha": 0.5, "noise": 1e-4, "fit_intercept": False},
    ),
}
N_LABELLINGS = 16


@cache
def labellings(n_rows, n_classes):
    """Every way to label the rows, (n, n_rows), and in how many labels two of them differ."""
    every = np.array(list(itertools.product(range(n_classes), repeat=n_rows)))
    return every, (every[:, np.newaxis] != every).sum(axis=2)


def some_with_all_classes(every, n_classes):
    """Indices of labellings with every class: the most unequal ones, and others."""
    counts = (every[:, :, np.newaxis] == np.arange(n_classes)).sum(axis=1)
    full = np.flatnonzero(counts.all(axis=1))
    unequal = full[np.argsort(-counts[full].max(axis=1), kind="stable")]
    return np.unique(np.r_[unequal[: N_LABELLINGS // 2], full[:: 2 * len(full) // N_LABELLINGS]])


@pytest.mark.parametrize("name", DESIGNS)
def test_every_flip_and_every_noise(name):
    # Every labelling of the rows is what flips make of the training labels, and what the noise
    # makes of them. Scores come from scikit-learn's Ridge. Fails if a radius is one larger, if
    # Chernoff's bound is below the probability, or if a tie counts as a win.
    X, n_classes, params = DESIGNS[name]
    X_test = np.r_[X[:2], -X[:1], 5 * X[-1:]]
    every, differ = labellings(len(X), n_classes)
    ridge = Ridge(params["alpha"], fit_intercept=params.get("fit_intercept", True))
    weights = ridge.fit(X, np.eye(len(X))).predict(X_test)
    hits = every[:, :, np.newaxis] == np.arange(n_classes)
    scores = np.einsum("ij,kjc->kic", weights, hits)  # (labellings, test rows, classes)
    models = [SmoothedLabelClassifier(**params).fit(X, y) for y in every]
    predicted = np.array([model.predict(X_test) for model in models])
    stays, becomes = 1 - params["noise"], params["noise"] / (n_classes - 1)
    chance = stays ** (len(X) - differ) * becomes**differ
    largest = dict.fromkeys(BOUNDS, 0)
    for place in some_with_all_classes(every, n_classes):
        model, own, flips = models[place], predicted[place], differ[place][:, np.newaxis]
        leads = np.array(
            [
                scores[:, i, c] - np.delete(scores[:, i], c, axis=1).max(axis=1)
                for i, c in enumerate(own)
            ]
        ).T
        loses = leads <= 1e-9
        errors = chance @ loses  # Of the vote, for each labelling.
        log_error = model.log_error_bound(X_test)
        assert (errors[place] <= np.exp(log_error) * (1 + 1e-9)).all()
        radii = {bound: model.certify(X_test, bound=bound) for bound in BOUNDS}
        for bound, radius in radii.items():
            within = flips <= radius
            assert (predicted == own)[within].all(), (bound, every[place])
            largest[bound] = max(largest[bound], radius.max())
            known = log_error < np.log(0.5)
            if bound != "exact":
                assert not radius[~known].any()
                assert (errors < 0.5)[within & known].all(), (bound, every[place])
        # One flip more than "exact" makes a tie, another label, or the label vanish.
        lost = loses | ~hits.any(axis=1)[:, own]
        broken = np.where(lost, flips, len(X)).min(axis=0)
        assert (radii["exact"] == np.maximum(broken - 1, 0)).all(), every[place]
        assert (radii["closed_form"] <= radii["tight"]).all()
        assert (radii["tight"] <= radii["exact"]).all()
    assert largest["tight"] >= 1


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("noise", [0.01, 0.2, 0.45])
def test_tight_errors_are_those_of_the_worst_event(noise, n_classes):
    # Every event is a set of noisy labels. Filled in the order of the ratio, it reaches 1/2 after
    # the flips with the least probability before. Fails if a radius is one larger or one smaller.
    stays, becomes = 1 - noise, noise / (n_classes - 1)
    errors = log_tight_errors(noise, n_classes, 6, -np.inf)
    assert len(errors) == 6
    assert (np.diff(errors) < 0).all()
    for r in range(1, 7):
        noisy = np.array(list(itertools.product(range(n_classes), repeat=r)))
        seen = [(noisy == label).sum(axis=1) for label in (0, 1)]  # All labels flip from 0 to 1.
        before, after = (stays**one * becomes ** (r - one) for one in (seen[0], seen[1]))
        order = np.argsort(before / after)
        filled = np.cumsum(after[order])
        k = np.searchsorted(filled, 0.5 - 1e-12)
        share = 1 - (filled[k] - 0.5) / after[order][k]
        least = before[order][:k].sum() + share * before[order][k]
        assert errors[r - 1] == pytest.approx(np.log(least), abs=1e-9)
        for shift, radius in ((-1e-6, r), (1e-6, r - 1)):
            log_error = errors[r - 1 : r] + shift
            assert tight_radius(log_error, noise, n_classes, 40) == radius
        assert tight_radius(np.full(1, -1e4), noise, n_classes, r) == r


@pytest.mark.parametrize("n_classes", [2, 5])
def test_closed_form_is_a_divergence(n_classes):
    # Of two coins, one fair, whose divergence is r times that of the noise on two labels. Fails if
    # the radius is one larger or one smaller.
    for noise, r in itertools.product((0.001, 0.1, 0.4), (1, 2, 7)):
        stays, becomes = 1 - noise, noise / (n_classes - 1)
        noisy = np.full(n_classes, becomes)
        one, two = noisy.copy(), noisy.copy()
        one[0] = two[1] = stays
        whole = r * (one * np.log(one / two)).sum()
        assert r * divergence(noise, n_classes) == pytest.approx(whole)

        def excess(log_error, whole=whole):
            e = np.exp(log_error)
            return np.log(0.5 / e) / 2 + np.log(0.5 / (1 - e)) / 2 - whole

        edge = brentq(excess, -700, np.log(0.5))
        for shift, radius in ((-1e-6, r), (1e-6, r - 1)):
            assert closed_form_radius(np.array([edge + shift]), noise, n_classes) == radius
    assert closed_form_radius(np.array([0.0, -1e-12, np.log(0.6)]), 0.1, 2).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("noise", "n_classes", "r", "vote_stays_longer"),
    [
        (noise, n_classes, r, False)
        for noise in (1e-6, 0.1, 0.49)
        for n_classes in (2, 10)
        for r in (1, 2, 60)
    ]
    + [(3e-4, 2, 2500, True)],
)
def test_no_radius_exceeds_that_of_the_mean(noise, n_classes, r, vote_stays_longer):
    # r flips leave the largest score where it is if e < exp(-r D): see the notes of the class.
    # Fails if "tight" certifies votes alone: with 2,500 flips, of which the noise hides about one,
    # the vote may stay and the largest score change.
    error = log_tight_errors(noise, n_classes, r, -np.inf)[-1]
    whole = divergence(noise, n_classes)
    assert (error > -r * whole) == vote_stays_longer
    log_error = np.array([edge + s for edge in (error, -r * whole) for s in (-1e-5, 1e-5)])
    tight = tight_radius(log_error, noise, n_classes, r + 1)
    assert (tight * whole < -log_error).all()
    assert (closed_form_radius(log_error, noise, n_classes) <= tight).all()


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.integers(2, 5),
    st.floats(1e-6, 0.45),
    st.floats(-3, 3),
    st.floats(0, 0.1),
)
def test_bound_is_the_minimum_over_t(seed, n_classes, noise, skew, slack):
    # Against a minimiser of scipy's, on the moment generating function as a sum over labels. Fails
    # if Newton's method stops early, or if it leaves the bracket.
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, 30)
    weights = np.exp(skew * rng.standard_normal((4, 30))) * rng.choice([-0.2, 1], (4, 30))
    weights = np.where(codes == 0, weights, weights / 4)
    own, rival = np.tile(codes == 0, (4, 1)), np.tile(codes == 1, (4, 1))
    found = log_chernoff(
        weights, own, rival, noise=noise, n_classes=n_classes, slack=np.full(4, slack)
    )
    chance = np.full((n_classes, n_classes), noise / (n_classes - 1))
    np.fill_diagonal(chance, 1 - noise)
    signs = np.zeros(n_classes)
    signs[:2] = 1, -1

    def log_mean(log_t, row):
        powers = np.exp(log_t) * (slack / 30 - row[:, np.newaxis] * signs)
        top = powers.max(axis=1, keepdims=True)
        means = (chance[codes] * np.exp(powers - top)).sum(axis=1)
        return (np.log(means) + top[:, 0]).sum()

    for row, value in zip(weights, found, strict=True):
        grid = np.linspace(-12, 12, 49)
        best = grid[np.argmin([log_mean(t, row) for t in grid])]
        least = minimize_scalar(
            log_mean, bounds=(best - 1, best + 1), args=(row,), method="bounded"
        ).fun
        assert value == pytest.approx(min(least, 0), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("n_rows", "n_own", "n_classes"), [(9, 7, 2), (20, 19, 2), (30, 20, 3)])
def test_little_noise_gives_the_exact_number(n_rows, n_own, n_classes):
    # Equal rows have equal weights, so the prediction is the majority. With little noise nothing is
    # lost. Fails if the radius of `certify` is one larger or one smaller.
    X, y = np.ones((n_rows, 1)), np.arange(n_rows) % n_classes
    y[:n_own] = 1
    y[n_own:] = np.where(y[n_own:] == 1, 0, y[n_own:])
    rivals = np.bincount(y, minlength=n_classes)
    rivals[1] = 0
    model = SmoothedLabelClassifier(noise=1e-12).fit(X, y)
    known = -(-(n_own - rivals.max()) // 2) - 1
    assert model.certify(X[:1], bound="exact") == known
    assert model.certify(X[:1]) == known
    assert model.certify(X[:1], bound="closed_form") == known // 2


def test_errors_of_rivals_add_up():
    # Two rivals that are alike. Fails if the vote is bounded against the strongest rival only.
    y = np.repeat([0, 1, 2], [20, 5, 5])
    model = SmoothedLabelClassifier(noise=0.2).fit(np.ones((30, 1)), y)
    weights = np.full((1, 30), 1 / 30)
    pair = log_chernoff(weights, y == [[0]], y == [[1]], noise=0.2, n_classes=3, slack=np.zeros(1))
    assert pair < -1
    assert model.log_error_bound([[1.0]]) == pytest.approx(pair + np.log(2))


X, Y = load_digits(return_X_y=True)
X, X_TEST, Y, Y_TEST = X[:200] / 16, X[200:230] / 16, Y[:200], Y[200:230]


def test_predicts_as_ridge_regression_does():
    # Fails if the penalty, the intercept or the order of labels is another.
    for alpha, fit_intercept in itertools.product((0.1, 30.0), (True, False)):
        for own in (np.full(len(Y), True), Y < 2):
            ridge = RidgeClassifier(alpha, fit_intercept=fit_intercept).fit(X[own], Y[own])
            model = SmoothedLabelClassifier(alpha, fit_intercept=fit_intercept)
            model.fit(X[own], Y[own])
            assert (model.predict(X_TEST) == ridge.predict(X_TEST)).all()
    # More features than rows, without a penalty: least squares of the smallest norm.
    wide = RNG.standard_normal((20, 50))
    model = SmoothedLabelClassifier(0).fit(wide, Y[:20])
    assert (model.predict(wide) == Y[:20]).all()
    new = RNG.standard_normal((9, 50))
    centred, hits = wide - wide.mean(axis=0), Y[:20, np.newaxis] == np.arange(10)
    scores = (new - wide.mean(axis=0)) @ np.linalg.pinv(centred) @ hits + hits.mean(axis=0)
    assert (model.predict(new) == scores.argmax(axis=1)).all()


def flips_against(row, model_params, X, y, n_flips):
    """The labels after the flips that lower the lead of the predicted class most."""
    weights = Ridge(model_params["alpha"]).fit(X, np.eye(len(X))).predict(row)[0]
    scores = np.array([weights[y == c].sum() for c in range(y.max() + 1)])
    own = scores.argmax()
    found = []
    for rival in np.delete(np.arange(len(scores)), own):
        sign = (y == own).astype(int) - (y == rival)
        losses = np.where(weights > 0, 1 + sign, 1 - sign) * np.abs(weights)
        worst = np.argsort(-losses)[:n_flips]
        flipped = y.copy()
        flipped[worst] = np.where(weights[worst] > 0, rival, own)
        found.append((scores[own] - scores[rival] - losses[worst].sum(), flipped))
    return min(found, key=lambda pair: pair[0])[1]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_best_flips_on_digits(n_classes):
    # The attack is exact, so one more flip than "exact" changes the prediction. Fails if a radius
    # is one larger.
    own, params = n_classes > Y, {"alpha": 50.0, "noise": 0.01}
    X_own, y = X[own], Y[own]
    model = SmoothedLabelClassifier(**params).fit(X_own, y)
    rows = X_TEST[Y_TEST < n_classes][:5]
    radii = {bound: model.certify(rows, bound=bound) for bound in BOUNDS}
    assert radii["tight"].max() >= 5
    for i, row in enumerate(rows):
        label = model.predict(row[np.newaxis])
        for bound in BOUNDS:
            labels = flips_against(row[np.newaxis], params, X_own, y, radii[bound][i])
            assert (labels != y).sum() == radii[bound][i]
            assert SmoothedLabelClassifier(**params).fit(X_own, labels).predict([row]) == label
        labels = flips_against(row[np.newaxis], params, X_own, y, radii["exact"][i] + 1)
        assert SmoothedLabelClassifier(**params).fit(X_own, labels).predict([row]) != label


@pytest.mark.parametrize("bound", BOUNDS)
def test_no_certified_prediction_changes_under_10_000_random_flips(bound):
    # The flips prefer rows of a large weight, and the strongest rival. Fails if "exact" is one
    # larger.
    params = {"alpha": 30.0, "noise": 0.001}
    own = Y < 3
    X_own, y = X[own], Y[own]
    model = SmoothedLabelClassifier(**params).fit(X_own, y)
    rows, rng = X_TEST[Y_TEST < 3][:5], np.random.default_rng(1)
    weights = Ridge(params["alpha"]).fit(X_own, np.eye(len(y))).predict(rows)
    radii, labels = model.certify(rows, bound=bound), model.predict(rows)
    assert (radii > 0).all()
    for row, radius, label, weight in zip(rows, radii, labels, weights, strict=True):
        scores = np.bincount(y, weight, 3)
        rival = np.argsort(scores)[-2]
        losses = np.where(weight > 0, 1.0, -1.0) * ((y == label) * 1.0 - (y == rival)) + 1
        losses = losses * np.abs(weight) + 1e-12
        # The largest of randomly scaled losses, so that each draw has other rows.
        noise = rng.exponential(size=(2000, len(y))) ** rng.uniform(0, 1, (2000, 1))
        chosen = np.argpartition(-losses * noise, radius - 1, axis=1)[:, :radius]
        drawn = np.tile(y, (2000, 1))
        target = np.where(weight > 0, rival, label)
        others = (y + rng.integers(1, 3, drawn.shape)) % 3
        new = np.where((target == y) | (rng.random(drawn.shape) < 0.1), others, target)
        np.put_along_axis(drawn, chosen, np.take_along_axis(new, chosen, axis=1), axis=1)
        assert ((drawn != y).sum(axis=1) == radius).all()
        after = (drawn[:, :, np.newaxis] == np.arange(3)).transpose(0, 2, 1) @ weight
        assert (after.argmax(axis=1) == label).all()
        for flipped in drawn[:5]:
            assert SmoothedLabelClassifier(**params).fit(X_own, flipped).predict([row]) == label


def numbers(model, X):
    return np.array([model.log_error_bound(X), *(model.certify(X, bound=b) for b in BOUNDS)])


def test_what_does_not_matter():
    # The order of rows, the names of labels, the unit of the features with that of the penalty,
    # their origin, and how many rows are computed at a time.
    model = SmoothedLabelClassifier(20, 0.05).fit(X, Y)
    before, labels = numbers(model, X_TEST), model.predict(X_TEST)
    assert (before[2] > 0).any()
    order = RNG.permutation(len(X))
    names = np.array([f"{(7 * digit) % 10}th" for digit in range(10)])
    others = {
        "order": (clone(model).fit(X[order], Y[order]), X_TEST, None),
        "names": (SmoothedLabelClassifier(20, 0.05).fit(X, names[Y]), X_TEST, names),
        "unit": (SmoothedLabelClassifier(20 * 64, 0.05).fit(8 * X, Y), 8 * X_TEST, None),
        "origin": (SmoothedLabelClassifier(20, 0.05).fit(X + 3, Y), X_TEST + 3, None),
    }
    for what, (other, rows, as_names) in others.items():
        after = numbers(other, rows)
        assert np.allclose(before[0], after[0], rtol=1e-6), what
        assert (before[1:] == after[1:]).all(), what
        expected = labels if as_names is None else as_names[labels]
        assert (other.predict(rows) == expected).all(), what


def test_rows_are_computed_in_parts(monkeypatch):
    # Fails if a part is compared with the labels of another part's rows.
    model = SmoothedLabelClassifier(20, 0.05).fit(X, Y)
    before = numbers(model, X_TEST)
    seen = []

    def spy(weights, *args, **kwargs):
        seen.append(weights.size)
        return log_chernoff(weights, *args, **kwargs)

    monkeypatch.setattr(_smoothed_labels, "log_chernoff", spy)
    for most in (1, 7 * len(X) + 1):
        monkeypatch.setattr(_smoothed_labels, "MAX_WEIGHTS", most)
        seen.clear()
        after = numbers(model, X_TEST)
        assert max(seen) <= max(most, len(X))
        assert np.allclose(before[0], after[0], rtol=1e-9)
        assert (before[1:] == after[1:]).all()


def test_noise_changes_no_prediction_and_not_the_exact_number():
    low, high = (SmoothedLabelClassifier(20, q).fit(X, Y) for q in (1e-4, 0.5))
    assert (low.predict(X_TEST) == high.predict(X_TEST)).all()
    exact = [model.certify(X_TEST, bound="exact") for model in (low, high)]
    assert (exact[0] == exact[1]).all()
    assert (low.certify(X_TEST) >= high.certify(X_TEST)).all()
    assert (low.log_error_bound(X_TEST) <= 0).all()


def test_a_lead_that_rounding_made_is_a_tie():
    # The labels of equal rows cancel, so that both scores are 1/2, but for rounding.
    X = np.repeat(RNG.standard_normal((20, 5)), 2, axis=0) * 1e3
    model = SmoothedLabelClassifier(1e-3).fit(X, np.arange(40) % 2)
    rows = RNG.standard_normal((30, 5)) * 1e3
    assert not model.log_error_bound(rows).any()
    for bound in BOUNDS:
        assert not model.certify(rows, bound=bound).any()


def test_one_class_is_predicted_and_not_certified():
    model = SmoothedLabelClassifier().fit(X, np.full(len(X), "a"))
    assert (model.predict(X_TEST) == "a").all()
    assert (model.log_error_bound(X_TEST) == -np.inf).all()
    for bound in BOUNDS:
        assert not model.certify(X_TEST, bound=bound).any()


def test_containers_and_images():
    # Fails if the columns of a frame, or the axes of an image, come in another order.
    before = numbers(SmoothedLabelClassifier(20).fit(X, Y), X_TEST)
    names = [f"pixel {k}" for k in range(64)]
    for frame in (pd.DataFrame, pl.DataFrame):
        table, rows = (frame(dict(zip(names, part.T, strict=True))) for part in (X, X_TEST))
        model = SmoothedLabelClassifier(20).fit(table, pd.Series(Y).astype("category"))
        assert (numbers(model, rows) == before).all()
        assert model.feature_names_in_.tolist() == names
        with pytest.raises(ValueError, match="feature names should match"):
            model.certify(rows[names[::-1]])
    model = SmoothedLabelClassifier(20).fit(X.reshape(-1, 1, 8, 8), Y.tolist())
    assert (numbers(model, X_TEST.reshape(-1, 1, 8, 8)) == before).all()
    # float32 is computed in float64.
    narrow = SmoothedLabelClassifier(20).fit(X.astype(np.float32), Y)
    assert (numbers(narrow, X_TEST.astype(np.float32)) == before).all()


def test_in_a_pipeline_and_beside_other_victims():
    pipeline = make_pipeline(StandardScaler(), SmoothedLabelClassifier(100))
    victims = {
        "alone": LogisticRegression(C=0.1),
        "trimmed": LossTrimming(LogisticRegression(C=0.1), 0.2, random_state=0),
        "smoothed": pipeline,
    }
    curves = robustness_curve(
        victims,
        X,
        Y % 2,
        attacks={"clean": None, "flips": LabelFlip(0.2)},
        param_name=None,
        cv=2,
        random_state=0,
    )
    for scores in curves["smoothed"].scores.values():
        assert (scores > 0.6).all()
    fitted = pipeline.fit(X, Y % 2)
    assert (fitted[-1].certify(fitted[:-1].transform(X_TEST)) >= 0).all()
