"""What fails in a study costs its own cells, and the message counts them."""

import numpy as np
import pytest
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from skpoison import MLP, BaseLabelAttack, LabelFlip, NetClassifier, robustness_curve

NET = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=2)
STUDY = {"param_name": "module__width", "param_range": [2, 16], "cv": 3, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Failing(DecisionTreeClassifier):
    def fit(self, X, y, check_input=True):
        if self.max_depth == 1:
            raise RuntimeError("no tree that flat")
        return super().fit(X, y)


class FailingOn(DecisionTreeClassifier):
    """A tree of depth 1 fails on rows with a certain value."""

    def __init__(self, bad=0.0, max_depth=None, random_state=None):
        super().__init__(max_depth=max_depth, random_state=random_state)
        self.bad = bad

    def fit(self, X, y):
        if self.max_depth == 1 and self.bad in X:
            raise RuntimeError("no tree that flat")
        return super().fit(X, y)


class FailingAttack(BaseLabelAttack):
    """An attack that fails on rows without a certain value."""

    def __init__(self, only_without=0.0, random_state=None):
        self.only_without = only_without
        self.random_state = random_state

    def _relabel(self, X, codes, n_classes, random_state):
        if self.only_without not in X:
            raise RuntimeError("no attack today")
        return codes


class CountingFlip(LabelFlip):
    runs = 0

    def _relabel(self, *args):
        type(self).runs += 1
        return super()._relabel(*args)


def test_a_failed_fit_costs_its_cells_only(digits, tmp_path):
    kwargs = {"param_name": "max_depth", "param_range": [1, 3], "cv": 2, "random_state": 0}
    kwargs["attacks"] = {"clean": None, "flips": LabelFlip(0.3)}
    words = r"(?s)^4 of 8 fits of the study failed.*is nan\.\n4 times:\nRuntimeError: no tree that"
    for _ in range(2):
        with pytest.warns(FitFailedWarning, match=words):
            result = robustness_curve(Failing(), *digits, memory=tmp_path, **kwargs)
        for scores in result.scores.values():
            np.testing.assert_array_equal(np.isnan(scores), [[True, True], [False, False]])
    with pytest.warns(FitFailedWarning):
        zero = robustness_curve(Failing(), *digits, error_score=0.0, **kwargs)
    assert (zero.scores["clean"][0] == 0).all()
    with pytest.raises(RuntimeError, match="no tree that flat"):
        robustness_curve(Failing(), *digits, error_score="raise", **kwargs)
    bad = {**STUDY, "attacks": {"clean": None}, "param_name": "lr", "param_range": [-1.0]}
    for fused in (True, False):
        with pytest.raises(ValueError, match="`lr` must be >= 0"):
            robustness_curve(NET, *digits, fused=fused, error_score="raise", **bad)
    with pytest.raises(ValueError, match=r"(?s)All 4 fits of the study failed.*no tree that flat"):
        robustness_curve(Failing(), *digits, **{**kwargs, "param_range": [1]})


def test_an_attack_that_fails_on_one_fold_costs_the_cells_of_this_fold(digits):
    X, y = digits
    X = X + np.arange(300)[:, None]  # The first row has a fold of its own.
    attacks = {"clean": None, "broken": FailingAttack(only_without=X[0, 0])}
    kwargs = {"param_name": "max_depth", "param_range": [1, 3], "cv": KFold(3), "random_state": 0}
    words = (
        r"(?s)^6 of 12 fits .*is 0\.5\.\n4 times:\nRuntimeError: no tree that flat"
        r".*2 times:\nThe attack 'broken' failed: RuntimeError: no at"
    )
    with pytest.warns(FitFailedWarning, match=words):
        curve = robustness_curve(
            FailingOn(X[1, 0]), X, y, attacks=attacks, error_score=0.5, **kwargs
        )
    lost = curve.train_scores["broken"] == 0.5
    np.testing.assert_array_equal(lost, [[True, True, True], [True, False, False]])
    np.testing.assert_array_equal(curve.scores["clean"][0] == 0.5, [False, True, True])


@pytest.mark.parametrize("poison", ["fold", "dataset"])
def test_an_attack_that_always_fails_raises(digits, tmp_path, poison):
    # Fails if a curve of NaN comes back, with the cause once for each fold.
    attacks = {"flips": LabelFlip(0.3), "broken": FailingAttack(only_without=np.nan)}
    kwargs = {"param_name": "max_depth", "param_range": [2, 3], "cv": 3, "random_state": 0}
    kwargs |= {"poison": poison, "memory": tmp_path, "error_score": 0.0}
    n_runs = 3 if poison == "fold" else 1
    words = rf"^The attack 'broken' failed .* repeat 0\.\n{n_runs} times:\nRuntimeError: no attack"
    with pytest.raises(ValueError, match=words) as info:
        robustness_curve(DecisionTreeClassifier(), *digits, attacks=attacks, **kwargs)
    assert str(info.value).count("Traceback") == 1
    # What was computed before stays in memory.
    CountingFlip.runs = 0
    kept = {"flips": CountingFlip(0.3), "broken": FailingAttack(only_without=np.nan)}
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            robustness_curve(DecisionTreeClassifier(), *digits, attacks=kept, **kwargs)
    assert CountingFlip.runs == n_runs


class CountedTree(DecisionTreeClassifier):
    n_fits = 0

    def fit(self, X, y):
        CountedTree.n_fits += 1
        return super().fit(X, y)


def test_an_attack_that_always_fails_ends_the_study_before_the_clean_fits(digits):
    """Seen to fail where the clean fits beside the attacks were all done first."""
    attacks = {"clean": None, "broken": FailingAttack(only_without=np.nan)}
    kwargs = {"param_name": "max_depth", "param_range": [2, 3, 4], "cv": 3, "random_state": 0}
    CountedTree.n_fits = 0
    with pytest.raises(ValueError, match="The attack 'broken' failed each time"):
        robustness_curve(CountedTree(), *digits, attacks=attacks, **kwargs)
    assert CountedTree.n_fits == 0


class Broken:
    """A metric that fails for trees of depth 1, or on the rows that a tree was trained on."""

    def __init__(self, on_training=False):
        self.on_training = on_training

    def __call__(self, tree, X, y):
        if self.on_training and tree.score(X, y) == 1:
            raise RuntimeError("no metric of training rows")
        if not self.on_training and tree.max_depth == 1:
            raise RuntimeError("no metric that flat")
        return 1.0


def test_each_metric_fails_by_itself(digits):
    # As in scikit-learn's cross_validate. Fails if the accuracy of a tree of depth 1 is lost.
    metrics = {"accuracy": "accuracy", "broken": Broken()}
    kwargs = {"param_name": "max_depth", "param_range": [1, 3], "cv": 3, "random_state": 0}
    kwargs["attacks"] = {"clean": None}
    words = r"(?s)^3 of 6 fits .*3 times:\nScoring failed: the metric 'broken': RuntimeError: no m"
    with pytest.warns(FitFailedWarning, match=words):
        curves = robustness_curve(DecisionTreeClassifier(), *digits, scoring=metrics, **kwargs)
    whole = robustness_curve(DecisionTreeClassifier(), *digits, **kwargs)
    np.testing.assert_array_equal(curves["accuracy"].scores["clean"], whole.scores["clean"])
    for table in (curves["broken"].scores, curves["broken"].train_scores):
        np.testing.assert_array_equal(table["clean"], [[np.nan] * 3, [1] * 3])
    assert np.isfinite(curves["broken"].fit_times["clean"]).all()
    with pytest.raises(RuntimeError, match="no metric that flat"):
        robustness_curve(
            DecisionTreeClassifier(), *digits, scoring=metrics, error_score="raise", **kwargs
        )


def test_a_score_of_the_training_rows_fails_by_itself(digits):
    kwargs = {"param_name": "max_depth", "param_range": [3, None], "cv": 3, "random_state": 0}
    with pytest.warns(FitFailedWarning, match=r"(?s)^3 of 6 fits .*3 times:\nScoring failed"):
        curve = robustness_curve(
            DecisionTreeClassifier(),
            *digits,
            attacks={"clean": None},
            scoring=Broken(on_training=True),
            error_score=-1.0,
            **kwargs,
        )
    assert (curve.scores["clean"] == 1).all()
    np.testing.assert_array_equal(curve.train_scores["clean"], [[1] * 3, [-1] * 3])


def test_a_failed_fit_fails_in_every_metric(digits):
    kwargs = {"param_name": "max_depth", "param_range": [1, 3], "cv": 2, "random_state": 0}
    with pytest.warns(FitFailedWarning):
        curves = robustness_curve(
            Failing(),
            *digits,
            attacks={"clean": None},
            scoring=["accuracy", "recall_macro"],
            **kwargs,
        )
    for curve in curves.values():
        assert np.isnan(curve.scores["clean"][0]).all()
        assert np.isfinite(curve.scores["clean"][1]).all()


def test_a_failure_in_a_group_costs_its_own_cells(digits):
    # Fails if the error of one net takes its group along: here folds without a class.
    X, y = digits
    order = np.argsort(y, kind="stable")
    first = np.arange(len(y)) < 30
    cv = [(np.flatnonzero(first), np.flatnonzero(~first))] + [
        (np.arange(k, 300, 2), np.arange(1 - k, 300, 2)) for k in (0, 1)
    ]
    study = {**STUDY, "cv": cv, "attacks": {"clean": None}}
    with pytest.warns(FitFailedWarning, match="at least 2 classes"):
        result = robustness_curve(NET, X[order], y[order], fused=True, n_repeats=2, **study)
    np.testing.assert_array_equal(np.isnan(result.scores["clean"][0]), [1, 0, 0, 1, 0, 0])


def test_a_scorer_that_fails_for_one_net_costs_its_cell(digits):
    X, y = digits
    half = np.flatnonzero(y < 9)
    cv = [(half, np.flatnonzero(y == 9)), *StratifiedKFold(3).split(X, y)]
    study = {**STUDY, "cv": cv, "attacks": {"clean": None}}
    for fused in (True, False):
        with pytest.warns(FitFailedWarning, match=r"4 of 16 fits .*\n4 times:\nScoring failed"):
            result = robustness_curve(
                NET,
                X,
                y,
                fused=fused,
                n_repeats=2,
                scoring="roc_auc_ovr",
                error_score=np.nan,
                **study,
            )
        failed = np.isnan(result.scores["clean"][0])
        np.testing.assert_array_equal(failed, [1, 0, 0, 0, 1, 0, 0, 0])
