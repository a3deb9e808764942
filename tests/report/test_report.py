"""What a report says is what its studies found."""

import copy
import math
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import LRScheduler

from makers import NoPoison, net
from skpoison import (
    MLP,
    BaseLabelAttack,
    CleanLabelPGA,
    LabelFlip,
    NetClassifier,
    PartitionEnsemble,
    RandomNoise,
    RobustnessReport,
    SmoothedLabelClassifier,
    breaking_point,
    robustness_curve,
    robustness_report,
)
from skpoison.attacks import BaseAttack
from skpoison.report._code import code_of
from skpoison.report._robustness_report import _telling_strength
from skpoison.report._surrogates import linear_model_of
from skpoison.study import corrected_interval


class Mine(BaseLabelAttack):
    """An attack as a user writes it, with a strength of its own kind."""

    strength_name = "share"
    tags = BaseLabelAttack.tags | {"goal": "to try"}

    def __init__(self, share=0.1, *, random_state=None):
        super().__init__(random_state=random_state)
        self.share = share

    def _relabel(self, X, codes, n_classes, random_state):
        new = codes.copy()
        rows = random_state.permutation(len(codes))[: round(self.share * len(codes))]
        new[rows] = 0
        return new


def small(estimator=None, X=None, y=None, **kwargs):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) if X is None else X
    y = np.arange(60) % 2 if y is None else y
    X = X + 2 * y[:, np.newaxis] if X.ndim == 2 else X
    estimator = DecisionTreeClassifier(max_depth=2) if estimator is None else estimator
    kwargs = {"cv": 2, "random_state": 0, **kwargs}
    return robustness_report(estimator, X, y, **kwargs)


def test_scores_are_those_of_the_study(report, trees, wine):
    # Fails if the report computes on other folds or seeds than it says.
    curves = robustness_curve(
        trees,
        *wine,
        attacks={"flips at random": LabelFlip(transition="uniform", sampling="exact")},
        param_name="strength",
        param_range=[0.0, 0.2, 0.4],
        cv=3,
        scoring="accuracy",
        random_state=0,
    )
    for victim, curve in curves.items():
        mine = report.curves("flips at random")[victim]
        np.testing.assert_array_equal(
            mine.scores["flips at random"], curve.scores["flips at random"]
        )
        point = report.breaking_point(victim, "flips at random")
        assert point == breaking_point(curve, drop=0.05)


def test_frame_has_a_row_for_each_fit(report):
    frame = report.to_frame()
    # 2 victims x 3 folds x (3 strengths of one attack and 2 of the others).
    assert len(frame) == 2 * 3 * 9
    assert not frame.duplicated(["victim", "attack", "strength", "split", "repeat"]).any()
    means = frame.groupby(["attack", "victim", "strength"])["accuracy"].mean()
    for attack in report.attacks:
        for victim, own in report.means(attack).items():
            np.testing.assert_allclose(own, means[attack, victim])
    flips = frame[frame["attack"] == "flips at random"]
    # "changed" is the share that was asked for: 0, 20% or 40% of the training rows.
    np.testing.assert_allclose(flips["changed"], flips["strength"], atol=0.02)


def test_recalls_add_up_to_accuracy(report):
    # Fails if classes are mixed up. The folds are stratified.
    counts = np.array(list(report.classes.values()))
    assert list(report.classes) == ["<i>rosé</i> & co", "red", "white"]
    recalls = report.recalls("flips at random")
    for victim, accuracy in report.means("flips at random").items():
        by_class = np.array([recalls[label][victim] for label in report.classes])
        np.testing.assert_allclose(counts @ by_class / counts.sum(), accuracy, atol=0.02)


def test_sentences_have_the_numbers(report):
    text = repr(report)
    point = report.breaking_point("tree", "flips at random")
    assert f"tree loses 5 points of accuracy at about {100 * point.budget:.3g}% [" in text
    assert "weakest against gradient ascent: at its largest strength, 4, it costs" in text
    assert "the control" in text
    assert "Another model, PartitionEnsemble of tree" in text
    assert "This says nothing of tree." in text
    assert "Under flips at random, " in text


def test_a_model_that_does_not_break_says_so():
    # A constant prediction cannot fall.
    found = small(DummyClassifier(), attacks={"f": LabelFlip()}, strengths={"f": [0.1, 0.4]})
    assert "The model loses less than 5 points of accuracy up to a rate of 40% of f" in repr(found)
    assert math.isinf(found.breaking_point("DummyClassifier", "f").budget)


def test_difference_is_paired_and_signed(report):
    # Fails if victims are swapped, or folds are not paired.
    name = '<b>"stump"</b>'
    found = report.difference("tree", name, "flips at random")
    means = report.means("flips at random")
    assert list(found) == [0.0, 0.2, 0.4]
    for i, lies in enumerate(found.values()):
        assert lies.mean == pytest.approx(means["tree"][i] - means[name][i])
        assert lies.low < lies.mean < lies.high
    # 95% for three strengths together. Fails if it is 95% for each of them.
    one, two = (report.curves("flips at random")[victim] for victim in ("tree", name))
    differences = one.scores["flips at random"][1] - two.scores["flips at random"][1]
    own = corrected_interval(differences, one.test_train_ratio, confidence=1 - 0.05 / 3)
    assert found[0.2] == pytest.approx(own)
    back = report.difference(name, "tree", "flips at random")
    assert [-lies.low for lies in back.values()] == pytest.approx(
        [lies.high for lies in found.values()]
    )


def test_a_real_difference_is_said_to_be_real():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] > 0).astype(int)
    victims = {"good": DecisionTreeClassifier(max_depth=1), "constant": DummyClassifier()}
    found = robustness_report(
        victims, X, y, attacks={"f": LabelFlip()}, strengths={"f": [0.05]}, cv=5, random_state=0
    )
    (line,) = (line for line in found.answer() if line.startswith("Under f"))
    assert line.startswith(
        "Under f, beyond chance, constant scores lower than good at 0 (clean training) and 5%"
    )
    low, high = map(float, re.search(r"points \[(.*?), (.*?)\]", line).groups())
    assert 20 < low < high < 80


def test_poisoned_rows_are_those_of_the_attack(report, wine):
    X, y = wine
    frame = report.poisoned_rows("flips at random")
    strength = report.poisoned["flips at random"].strength
    attack = LabelFlip(strength, transition="uniform", sampling="exact", random_state=0)
    _, y_new = attack.poison(X, y)
    assert frame["row"].tolist() == attack.poison_indices_.tolist()
    assert frame["new_label"].tolist() == y_new[attack.poison_indices_].tolist()
    assert frame["label"].tolist() == y[attack.poison_indices_].tolist()
    assert not frame["cells"].any()


def test_rows_are_those_of_the_smallest_strength_that_costs_the_drop(report):
    # Fails if another victim decides, if another drop does, or if no drop is no strength.
    fall = report.breaking_point("tree", "flips at random").drops[0.2].mean
    assert 0 < fall < 0.9
    found = copy.copy(report)
    for drop, strength in ((fall, 0.2), (fall + 1e-9, 0.4), (0.99, 0.4)):
        found.settings = report.settings | {"drop": drop}
        assert _telling_strength(found, "flips at random") == strength


def test_moved_cells_are_those_of_the_attack(report, wine):
    X, y = wine
    frame = report.poisoned_rows("noise")
    attack = RandomNoise(norm="l2,inf", scale="std", clip="range", budget=4.0, random_state=0)
    X_new, _ = attack.poison(X, y)
    assert frame["row"].tolist() == attack.poison_indices_.tolist()
    assert (frame["label"] == frame["new_label"]).all()
    row = frame.iloc[5]
    assert row["cells"] == (X_new.iloc[row["row"]] != X.iloc[row["row"]]).sum()
    moves = ((X_new - X).abs() / X.std(ddof=0)).iloc[row["row"]]
    assert moves[row["column"]] > 0.9 * moves.max()
    cells = [part.iloc[row["row"]][row["column"]] for part in (X, X_new)]
    assert [row["before"], row["after"]] == [f"{cell:.6g}" for cell in cells]


def test_gradients_are_those_of_a_victim_if_it_has_them(report):
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    one = {"flips at random": [0.4], "flips by loss": [0.4], "noise": [1.0]}
    found = small(
        {"tree": DecisionTreeClassifier(max_depth=2), "linear": linear},
        strengths={**one, "gradient ascent": [1.0]},
    )
    assert "gradients of a copy of 'linear'" in found.attacks["gradient ascent"].note
    assert "Transferred" in report.attacks["gradient ascent"].note


def test_names_of_columns_may_be_numbers():
    # Fails if the linear model gets the texts of the names, or the names as positions.
    X = pd.DataFrame({7: np.arange(20.0), 3: list("ab") * 10, 0: np.tile([0.0, 1, 5, 7], 5)})
    y = np.arange(20) // 10
    model = linear_model_of(X).fit(X, y)
    assert model.score(X, y) == 1
    attack = CleanLabelPGA(model, norm="l2,inf", budget=0.5, clip=None, max_iter=2)
    moved = attack.poison(X, y)[0]
    assert list(moved.columns) == [7, 3, 0]
    assert moved[3].equals(X[3])


def test_tables_without_numbers_get_no_attacks_on_features():
    X = pd.DataFrame({"word": ["a", "b", "c"] * 20})
    victim = make_pipeline(OrdinalEncoder(), DecisionTreeClassifier(max_depth=2))
    one = {"flips at random": [0.4], "flips by loss": [0.4]}
    found = robustness_report(victim, X, X["word"] == "a", strengths=one, cv=2, random_state=0)
    assert list(found.attacks) == list(one)
    assert "no columns of numbers" in found.left_out["gradient ascent"]
    assert found.data["columns of text"] == "word"


def test_a_certificate_of_labels_says_nothing_of_rows():
    # Fails if what holds for flips is said of changed features too.
    one = small(SmoothedLabelClassifier(), attacks={"f": LabelFlip()}, strengths={"f": [0.4]})
    assert list(one.certificates["SmoothedLabelClassifier"].accuracy) == ["labels"]
    (line,) = (line for line in one.answer() if "whatever happens" in line)
    assert line.endswith("whatever happens to 2 labels.")


def test_certificates_of_own_ensembles_stand_alone():
    # A victim that certifies needs no other ensemble beside it.
    victims = {
        "mine": DecisionTreeClassifier(max_depth=2),
        "votes": PartitionEnsemble(DecisionTreeClassifier(max_depth=2), 5),
    }
    found = small(victims, attacks={"f": LabelFlip()}, strengths={"f": [0.4]})
    assert list(found.certificates) == ["votes"]
    assert found.certificates["votes"].of is None
    accuracy = found.means("f")["votes"][0]
    for kind in ("labels", "rows"):
        assert found.certificates["votes"].mean(kind, 0) == pytest.approx(accuracy)
        falling = [found.certificates["votes"].mean(kind, n) for n in (0, 1, 2, 3)]
        assert falling == sorted(falling, reverse=True)
        assert falling[3] == 0  # Five votes withstand two changes at most.


def test_own_attacks_have_words_and_tags():
    found = small(attacks={"mine{}": Mine()}, strengths={"mine{}": [0.5]})
    assert found.attacks["mine{}"].tags["goal"] == "to try"
    assert found.attacks["mine{}"].at(0.5) == "a strength of 0.5 of mine{}"
    assert found.attacks["mine{}"].strengths == [0.0, 0.5]


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (LabelFlip(), [0.0, 0.05, 0.1, 0.2, 0.3, 0.4]),
        (NoPoison(budget=2.0), [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]),
    ],
)
def test_default_strengths_of_own_attacks(attack, expected):
    from skpoison.report._own_attacks import facts_of_own

    assert facts_of_own("a", attack, None).strengths == expected


def test_lists_of_several_lengths_are_several_studies(report):
    assert len(report.studies) == 2
    with pytest.raises(ValueError, match="`attack` must be one of"):
        report.plot()
    assert report.plot("flips by loss").ax_.get_title() == ""


class Silent(ClassifierMixin, BaseEstimator):
    """A classifier that gives no scores."""

    def fit(self, X, y):
        self.tree_ = DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, y)
        self.classes_ = self.tree_.classes_
        return self

    def predict(self, X):
        return self.tree_.predict(X)


class Picky(Silent):
    """A classifier that needs more rows than a partition has."""

    def fit(self, X, y):
        if len(y) < 20:
            raise ValueError("too few rows")
        return super().fit(X, y)


def test_what_does_not_suit_is_left_out_with_a_reason():
    # Fails if a report dies of an attack or an ensemble that its victim does not allow.
    one = {"flips at random": [0.4], "noise": [1.0], "gradient ascent": [1.0]}
    found = small(Picky(), strengths=one)
    assert list(found.attacks) == list(one)
    assert "no victim scores the classes" in found.left_out["flips by loss"]
    assert "images" in found.left_out["patch"]
    assert "too few rows" in found.left_out["certificates of a PartitionEnsemble of Picky"]
    assert not found.certificates


def test_images_get_a_patch_whose_success_is_measured():
    rng = np.random.default_rng(0)
    X = rng.random((40, 1, 4, 4)).astype(np.float32)
    y = np.arange(40) % 2
    found = robustness_report(
        net(max_epochs=2),
        X,
        y,
        strengths={
            "flips at random": [0.4],
            "flips by loss": [0.4],
            "noise": [1.0],
            "gradient ascent": [1.0],
            "patch": [0.2],
        },
        cv=2,
        random_state=0,
    )
    assert found.attacks["patch"].has_success
    assert set(found.means("patch", "success patch")) == {"NetClassifier"}
    assert "the answer that the attack wants is given for" in repr(found)
    moved = found.poisoned_rows("patch")
    assert (moved["new_label"] == "0").all()
    assert (moved["cells"] <= 1).all()


def test_single_victims_have_the_name_of_their_class():
    pipeline = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=1))
    found = small(pipeline, attacks={"f": LabelFlip()}, strengths={"f": [0.4]})
    assert list(found.victims) == ["DecisionTreeClassifier"]


def test_without_a_seed_the_report_names_one():
    found = small(attacks={"f": LabelFlip()}, strengths={"f": [0.4]}, random_state=None)
    seed = found.settings["random_state"]
    again = small(attacks={"f": LabelFlip()}, strengths={"f": [0.4]}, random_state=seed)
    assert again.answer() == found.answer()
    assert f"random_state={seed}" in found.call
    with pytest.warns(UserWarning, match="`memory` keeps nothing"):
        small(attacks={"f": LabelFlip()}, strengths={"f": [0.4]}, random_state=None, memory="x")


TREE = DecisionTreeClassifier()
BAD = {
    "estimator": ({"estimator": DecisionTreeClassifier}, TypeError, "`estimator` must be a class"),
    "no victim": ({"estimator": {}}, ValueError, "`estimator` must have at least one victim"),
    "drop 0": ({"drop": 0.0}, ValueError, "`drop` must lie between 0 and 1, got 0.0"),
    "drop text": ({"drop": "a"}, TypeError, "`drop` must be a real number"),
    "n_repeats": ({"n_repeats": 0}, ValueError, "`n_repeats` must be >= 1"),
    "attacks text": ({"attacks": "all"}, TypeError, "`attacks` must be 'default' or a non-empty"),
    "attacks none": ({"attacks": {}}, TypeError, "`attacks` must be 'default' or a non-empty"),
    "attack None": ({"attacks": {"a": None}}, TypeError, "clean training is always in the report"),
    "attack key": ({"attacks": {1: LabelFlip()}}, TypeError, "strings as keys, got 1"),
    "matrix": ({"attacks": {"a": LabelFlip(transition=np.eye(2))}}, ValueError, "must have a list"),
    "own": ({"attacks": {"a": Mine()}}, ValueError, "its strength is 'share'"),
    "strengths list": ({"strengths": [0.1]}, TypeError, "`strengths` must be None or a dict"),
    "strengths name": ({"strengths": {"x": [0.1]}}, ValueError, "must have names of attacks"),
    "strengths 0": (
        {"strengths": {"flips at random": [0.0]}},
        ValueError,
        r"`strengths\['flips at random'\]` must have a strength > 0",
    ),
    "strengths -1": ({"strengths": {"flips at random": [-0.1]}}, ValueError, "must be >= 0"),
    "strengths text": ({"strengths": {"flips at random": "0.1"}}, TypeError, "array-like of numb"),
    "one class": ({"y": np.zeros(20)}, ValueError, "at least 2 classes"),
    "short y": ({"y": np.arange(19) % 2}, ValueError, "inconsistent numbers of samples"),
}


@pytest.mark.parametrize(("changes", "error", "words"), BAD.values(), ids=BAD)
def test_bad_arguments_are_named(changes, error, words):
    arguments = {"estimator": TREE, "X": np.ones((20, 2)), "y": np.arange(20) % 2, **changes}
    with pytest.raises(error, match=words):
        robustness_report(**arguments)


def test_names_are_checked(report):
    for call in (
        lambda: report.curves("x"),
        lambda: report.curves("flips at random", "x"),
        lambda: report.breaking_point("x", "flips at random"),
        lambda: report.difference("tree", "x", "flips at random"),
        lambda: report.poisoned_rows("x"),
    ):
        with pytest.raises(ValueError, match="must be one of"):
            call()


def test_threat_models_have_all_terms(report):
    for facts in report.attacks.values():
        assert facts.tags.keys() == BaseAttack.tags.keys()


def test_the_call_makes_the_same_report(report, trees, wine):
    names = {name: globals()[name] for name in ("robustness_report", "DecisionTreeClassifier")}
    again = eval(report.call, {**names, "X": wine[0], "y": wine[1]})
    assert again.answer() == report.answer()
    assert isinstance(again, RobustnessReport)


class Lookup:
    """Something that has an address in its repr, and no parameters."""


def test_addresses_are_no_part_of_a_report():
    # They would differ each time that the same report is made.
    thing = Lookup()
    assert " at 0x" in repr(thing)
    assert " at 0x" not in code_of(thing)
    assert code_of(test_addresses_are_no_part_of_a_report).startswith("test_addresses")


NET = NetClassifier(MLP, module__width=64, lr=0.5, optimizer__momentum=0.9)


@pytest.mark.parametrize(
    "model",
    [
        NET,
        LabelFlip(0.2, selection="loss", surrogate=NET),
        make_pipeline(StandardScaler(), LogisticRegression(C=2.0)),
        PartitionEnsemble(NET, 15),
        NetClassifier(MLP, callbacks=[("decay", LRScheduler(policy="StepLR", step_size=2))]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_code_makes_the_same_model(model):
    """Seen to fail with skorch's `repr`, which leaves out the learning rate."""
    names = (MLP, LRScheduler, LabelFlip, LogisticRegression, NetClassifier, PartitionEnsemble)
    names += (Pipeline, StandardScaler)
    again = eval(code_of(model), {one.__name__: one for one in names})
    assert type(again) is type(model)
    assert code_of(again) == code_of(model)
    found, expected = (
        {
            name: repr(value)
            for name, value in one.get_params().items()
            if " at 0x" not in repr(value)
        }
        for one in (again, model)
    )
    assert found == expected


def test_equal_differences_in_all_folds_are_no_verdict():
    from skpoison._intervals import Drop
    from skpoison.report._sentences import is_real

    assert is_real(Drop(0.1, 0.1, 0.1)) is None
    assert is_real(Drop(0.1, math.nan, math.nan)) is None
    assert is_real(Drop(-0.2, -0.3, -0.1)) is True
    assert is_real(Drop(0.1, -0.1, 0.3)) is False
