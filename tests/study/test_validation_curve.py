import inspect

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skpoison import MLP, CleanLabelPGA, LabelFlip, NetClassifier, PoisonedClassifier
from skpoison.study import _validation_curve, validation_curve

NET = NetClassifier(MLP, lr=0.3, batch_size=32, max_epochs=3, random_state=0)
PGA = CleanLabelPGA(NET, norm="l2,inf", budget=0.5, max_iter=3, random_state=0)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class CountingFlip(LabelFlip):
    runs = 0

    def _relabel(self, *args):
        type(self).runs += 1
        return super()._relabel(*args)


def test_signature_is_scikit_learns():
    own, theirs = (
        inspect.signature(function).parameters
        for function in (validation_curve, model_selection.validation_curve)
    )
    # scikit-learn 1.7 still has `fit_params`, deprecated in favour of `params`.
    assert list(own) == [name for name in theirs if name != "fit_params"]
    for name, parameter in own.items():
        assert str(parameter.default) == str(theirs[name].default), name


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize(
    ("estimator", "param_name", "values"),
    [
        (NET, "module__width", [4, 16]),
        (NET, "lr", [0.01, 0.3]),
        (make_pipeline(StandardScaler(), NET), "netclassifier__module__width", [4, 16]),
        (make_pipeline(PGA, NET), "netclassifier__module__width", [4, 16]),
        (
            make_pipeline("passthrough", PoisonedClassifier(NET, LabelFlip(0.3, random_state=0))),
            "poisonedclassifier__estimator__module__width",
            np.array([4, 16]),
        ),
        (
            PoisonedClassifier(make_pipeline(MinMaxScaler(clip=True), PGA, NET)),
            "estimator__netclassifier__module__width",
            [4, 16],
        ),
        (PoisonedClassifier(NET, LabelFlip(random_state=0)), "attack__rate", [0.0, 0.5]),
    ],
    ids=["net", "lr", "pipeline", "attack", "poisoned", "nested", "rate"],
)
def test_scores_are_scikit_learns(digits, estimator, param_name, values, n_jobs, monkeypatch):
    # Fails if transformers see held-out rows, or the attack reaches the rows that are scored.
    expected = model_selection.validation_curve(
        estimator, *digits, param_name=param_name, param_range=values, cv=3
    )

    def refuse(*args, **kwargs):
        raise AssertionError("scikit-learn's own was called")

    monkeypatch.setattr(_validation_curve.model_selection, "validation_curve", refuse)
    scores = validation_curve(
        estimator, *digits, param_name=param_name, param_range=values, cv=3, n_jobs=n_jobs
    )
    assert len(scores) == 2
    for own, theirs in zip(scores, expected, strict=True):
        assert own.shape == theirs.shape
        np.testing.assert_allclose(own, theirs, atol=0.011)


def test_attacks_run_once_a_fold(digits):
    CountingFlip.runs = 0
    victim = PoisonedClassifier(NET, CountingFlip(0.3, random_state=0))
    validation_curve(victim, *digits, param_name="estimator__lr", param_range=[0.1], cv=4)
    assert CountingFlip.runs == 4


@pytest.mark.parametrize(
    ("estimator", "param_name", "values"),
    [
        (LogisticRegression(tol=0.1), "C", [0.1, 1.0]),
        (NET, "module__width", [1024]),
        (NetClassifier(MLP, criterion__label_smoothing=0.1, random_state=0), "lr", [0.1]),
    ],
    ids=["linear", "wide", "smoothing"],
)
def test_all_else_is_scikit_learns_own(digits, estimator, param_name, values):
    kwargs = {"param_name": param_name, "param_range": values, "cv": 3}
    for own, theirs in zip(
        validation_curve(estimator, *digits, **kwargs),
        model_selection.validation_curve(estimator, *digits, **kwargs),
        strict=True,
    ):
        np.testing.assert_array_equal(own, theirs)


def test_values_that_can_be_read_once(digits):
    # This net is scikit-learn's to fit. Fails if the check of the values leaves it none.
    net = clone(NET).set_params(criterion__label_smoothing=0.1)
    kwargs = {"param_name": "lr", "cv": 3}
    read = validation_curve(net, *digits, param_range=iter([0.1]), **kwargs)
    np.testing.assert_array_equal(read, validation_curve(net, *digits, param_range=[0.1], **kwargs))


def test_errors_are_scikit_learns(digits):
    kwargs = {"param_name": "lr", "param_range": [-1.0, 0.1], "cv": 3}
    with pytest.warns(FitFailedWarning, match="one by one: .*`lr` must be >= 0"):
        _, scores = validation_curve(NET, *digits, **kwargs)
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1]).all()
    with (
        pytest.warns(FitFailedWarning, match="one by one"),
        pytest.raises(ValueError, match="`lr` must be >= 0"),
    ):
        validation_curve(NET, *digits, error_score="raise", **kwargs)
    scores = validation_curve(
        NET, *digits, scoring="neg_log_loss", **{**kwargs, "param_range": [0.1]}
    )
    assert (scores[0] < 0).all()
