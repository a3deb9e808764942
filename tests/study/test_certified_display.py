"""The plot of certified accuracy."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skpoison import CertifiedAccuracyDisplay, PartitionEnsemble


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_the_line_is_the_share_of_rows_that_stay_right(seed, n):
    # Against the definition. Fails if wrong predictions count, or r is off by one.
    rng = np.random.default_rng(seed)
    y, predicted = rng.integers(0, 3, n), rng.integers(0, 3, n)
    radius = rng.integers(0, 9, n)
    shares = CertifiedAccuracyDisplay.from_predictions(y, {"a": (predicted, radius)}).certified["a"]
    plt.close("all")
    expected = [np.mean((predicted == y) & (radius >= r)) for r in range(len(shares) + 2)]
    np.testing.assert_allclose([*shares, 0, 0], expected)
    assert shares[-1] == 0
    assert (np.array(shares[1:-1]) > 0).all()


def test_several_ensembles(digits):
    X, y = digits
    ensembles = {
        f"{n} partitions": PartitionEnsemble(LogisticRegression(), n, random_state=0).fit(X, y)
        for n in (5, 9)
    }
    display = CertifiedAccuracyDisplay.from_estimator(
        ensembles, X, y, change_name="Flipped labels", linewidth=3
    )
    assert [line.get_label() for line in display.lines_] == ["5 partitions", "9 partitions"]
    for line, ensemble in zip(display.lines_, ensembles.values(), strict=True):
        assert line.get_ydata()[0] == pytest.approx(ensemble.score(X, y))
        withstood = ensemble.certify(X)[ensemble.predict(X) == y]
        assert len(line.get_ydata()) == withstood.max() + 2
        # Where the line is drawn at r it holds until r + 1.
        assert line.get_drawstyle() == "steps-post"
        assert line.get_linewidth() == 3
    assert display.ax_.get_xlabel() == "Flipped labels"
    assert display.ax_.get_ylim() == (0, 1)
    assert display.plot(ax=display.ax_) is display
    single = CertifiedAccuracyDisplay.from_estimator(ensembles["5 partitions"], X, y)
    assert list(single.certified) == ["PartitionEnsemble"]


@pytest.mark.parametrize(
    ("predictions", "error", "words"),
    [
        ({}, TypeError, "`predictions` must be a non-empty dict of names, got {}"),
        ({"a": [0, 1, 1]}, ValueError, r"must have pairs \(y_pred, radius\), got a list for 'a'"),
        ({"a": ([0, 1], [0, 1])}, ValueError, r"for each of 3 rows, got shapes \(2,\) and \(2,\)"),
        ({"a": ([0, 1, 1], [0, -1, 1])}, ValueError, "must have radii that are integers >= 0"),
        ({"a": ([0, 1, 1], [0.5, 1, 1])}, ValueError, "must have radii that are integers >= 0"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predictions, error, words):
    with pytest.raises(error, match=words):
        CertifiedAccuracyDisplay.from_predictions([0, 1, 1], predictions)
    assert not plt.get_fignums()


def test_what_cannot_certify_is_refused(digits):
    X, y = digits
    with pytest.raises(TypeError, match="`estimators` must have `certify`, got LogisticRegression"):
        CertifiedAccuracyDisplay.from_estimator(LogisticRegression().fit(X, y), X, y)
    for shares in ([], [[0.5]], [0.5, 1.5], [np.nan]):
        with pytest.raises(ValueError, match="`certified` must have lists of numbers from 0 to 1"):
            CertifiedAccuracyDisplay(certified={"a": shares}).plot()
    assert not plt.get_fignums()
