"""Several victims in one study, and the strength of attacks as its axis."""

import hashlib

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    MLP,
    BaseFeatureAttack,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    NetClassifier,
    PoisonedClassifier,
    RandomNoise,
    RobustnessCurve,
    RobustnessCurves,
    breaking_point,
    fit_many,
    robustness_curve,
)
from skpoison._seeding import seed_estimator
from skpoison.study.engine import _plan, _worker

TREE = DecisionTreeClassifier(max_features=0.5)  # It draws columns, so that its seed matters.
BAYES = GaussianNB()
LINEAR = LogisticRegression(C=0.1, max_iter=50)
VICTIMS = {"tree": TREE, "bayes": BAYES, "linear": LINEAR}
NOISE = RandomNoise(norm="l2,inf", budget=1.0)
ATTACKS = {"clean": None, "flips": LabelFlip(0.3), "noise": NOISE}
STUDY = {"attacks": ATTACKS, "cv": 3, "random_state": 0}
STRENGTHS = {"attacks": ATTACKS, "cv": 3, "random_state": 0, "param_name": "strength"}


def assert_same(a, b):
    assert list(a.scores) == list(b.scores)
    assert (a.param_name, a.param_range, a.strengths) == (b.param_name, b.param_range, b.strengths)
    for name in a.scores:
        np.testing.assert_array_equal(a.scores[name], b.scores[name])
        np.testing.assert_array_equal(a.train_scores[name], b.train_scores[name])


class Logged(LabelFlip):
    """Flips that keep a hash of the rows of each run."""

    runs = []

    def poison(self, X, y):
        found = super().poison(X, y)
        rows = [np.ascontiguousarray(part).tobytes() for part in found]
        self.runs.append(hashlib.sha256(b"".join(rows)).hexdigest())
        return found


def runs_of(call):
    Logged.runs.clear()
    result = call()
    return sorted(Logged.runs), result


@pytest.mark.parametrize("poison", ["fold", "dataset"])
def test_attacks_of_three_victims_run_as_often_as_those_of_one(digits, poison, tmp_path):
    study = {**STUDY, "attacks": {"clean": None, "flips": Logged(0.3)}, "n_repeats": 2}
    study["poison"] = poison
    alone, curve = runs_of(lambda: robustness_curve(TREE, *digits, **study))
    together, curves = runs_of(lambda: robustness_curve(VICTIMS, *digits, **study))
    assert together == alone
    assert len(set(together)) == (6 if poison == "fold" else 2)
    assert_same(curves["tree"], curve)
    # A victim that comes later finds the attacks, and the others' fits, in memory.
    kept, _ = runs_of(lambda: robustness_curve({"tree": TREE}, *digits, memory=tmp_path, **study))
    assert kept == alone
    none, more = runs_of(lambda: robustness_curve(VICTIMS, *digits, memory=tmp_path, **study))
    assert none == []
    for name in VICTIMS:
        assert_same(more[name], curves[name])


class Counting(GaussianNB):
    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        return super().fit(X, y)


def test_a_victim_added_later_fits_nothing_again(digits, tmp_path):
    study = {**STUDY, "memory": tmp_path}
    Counting.fits = 0
    first = robustness_curve({"a": Counting()}, *digits, **study)
    assert Counting.fits == 9
    both = robustness_curve({"b": BAYES, "renamed": Counting()}, *digits, **study)
    alone = robustness_curve(Counting(), *digits, **study)
    assert Counting.fits == 9
    assert_same(both["renamed"], first["a"])
    assert_same(both["renamed"], alone)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_victims_are_their_studies_one_by_one(digits, backend):
    # What makes it so: a seed belongs to a (repeat, split), and to no victim, and a fit depends on
    # its own victim only.
    net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=1)
    victims = {"tree": TREE, "net": net, "bayes": BAYES, "linear": LINEAR}
    names = {"tree": "max_depth", "net": "module__width", "bayes": None, "linear": "C"}
    ranges = {"tree": [1, 3], "net": [2], "bayes": None, "linear": [0.1]}
    study = {**STUDY, "attacks": {"clean": None, "flips": LabelFlip(0.3)}}
    with parallel_config(backend=backend):
        curves = robustness_curve(
            victims, *digits, param_name=names, param_range=ranges, n_jobs=2, **study
        )
    assert list(curves) == list(victims)
    for name, victim in victims.items():
        alone = robustness_curve(
            victim, *digits, param_name=names[name], param_range=ranges[name], **study
        )
        assert_same(curves[name], alone)
    assert (curves["bayes"].param_name, curves["bayes"].param_range) == ("", [None])
    assert curves["bayes"].scores["flips"].shape == (1, 3)


def test_a_range_for_all_victims(digits):
    trees = {"a": TREE, "b": DecisionTreeClassifier()}
    curves = robustness_curve(trees, *digits, param_name="max_depth", param_range=[1, 3], **STUDY)
    assert all(curve.param_range == [1, 3] for curve in curves.values())


def by_hand(victim, attack, strengths, X, y):
    """Scores of clones of an attack by the definition, of shape (n_strengths, 3)."""
    folds = StratifiedKFold(3).split(X, y)
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=(1, 3))[0]
    scores = []
    for seed, (train, test) in zip(seeds, folds, strict=True):
        column = []
        for strength in strengths:
            rows = X[train], y[train]
            if strength and attack is not None:
                own = clone(attack).set_params(**{attack.strength_name: strength})
                seed_estimator(own, np.random.RandomState([1, seed]), overwrite=True)
                rows = own.poison(*rows)
            model = seed_estimator(clone(victim), seed, overwrite=True).fit(*rows)
            column.append(model.score(X[test], y[test]))
        scores.append(column)
    return np.transpose(scores)


def test_strengths_are_the_loop_over_clones_of_the_attack(digits):
    ranges = {"flips": [0.0, 0.2, 0.5], "noise": [0, 3.0, 1.0], "chain": [0.1, 0.3, 0.1]}
    chain = ChainedAttack([LabelFlip(), NOISE])
    attacks = {**ATTACKS, "chain": chain}
    study = {**STRENGTHS, "attacks": attacks, "param_range": ranges}
    curves = robustness_curve({"tree": TREE, "bayes": BAYES}, *digits, **study)
    for name, curve in curves.items():
        for attack, strengths in ranges.items():
            expected = by_hand(VICTIMS[name], attacks[attack], strengths, *digits)
            np.testing.assert_array_equal(curve.scores[attack], expected)
        np.testing.assert_array_equal(
            curve.scores["clean"], by_hand(VICTIMS[name], None, [0, 0, 0], *digits)
        )
        assert curve.param_name == "strength"
        assert curve.param_range == [0, 1, 2]
        assert curve.strengths == {**ranges, "clean": [0.0] * 3}
        words = {"clean": None, "flips": "rate", "noise": "budget", "chain": "labelflip__rate"}
        assert curve.strength_names == words
    alone = robustness_curve(BAYES, *digits, **study)
    assert_same(alone, curves["bayes"])
    frame = curves.to_frame()
    assert frame.columns.tolist()[:5] == ["victim", "attack", "strength", "split", "repeat"]
    chosen = frame[(frame.victim == "tree") & (frame.attack == "noise") & (frame.split == 1)]
    assert chosen.strength.tolist() == [0.0, 3.0, 1.0]
    assert chosen.score.tolist() == curves["tree"].scores["noise"][:, 1].tolist()


def test_clean_training_is_one_fit_and_no_attack_runs_at_strength_0(digits, capsys):
    attacks = {"clean": None, "flips": Logged(), "more": Logged(transition="uniform")}
    study = {**STRENGTHS, "attacks": attacks, "param_range": [0, 0.2, 0.4], "progress": True}
    Counting.fits = 0
    runs, curve = runs_of(lambda: robustness_curve(Counting(), *digits, **study))
    assert len(runs) == 2 * 2 * 3  # attacks, strengths over 0, folds
    assert Counting.fits == 3 + 2 * 2 * 3
    assert "27/27" in capsys.readouterr().err
    for name in ("flips", "more"):
        np.testing.assert_array_equal(curve.scores[name][0], curve.scores["clean"][0])
    assert curve.param_range == [0, 0.2, 0.4]
    # A chain of strength 0 still has its other attacks.
    study["attacks"] = {"chain": ChainedAttack([NOISE, Logged(0.5)]), "flips": Logged()}
    runs, curve = runs_of(lambda: robustness_curve(BAYES, *digits, **{**study, "param_range": [0]}))
    assert len(runs) == 3
    assert curve.scores["chain"].mean() < curve.scores["flips"].mean()


def test_nets_of_a_victim_are_trained_together_over_all_strengths(digits, monkeypatch):
    # Fails if each strength has a stack of its own, or victims share one.
    sizes = []

    def counted(nets, data, *, fused):
        sizes.append(len(nets))
        return fit_many(nets, data, fused=fused)

    monkeypatch.setattr(_worker, "fit_many", counted)
    net = NetClassifier(MLP, lr=0.5, batch_size=64, max_epochs=1)
    study = {**STRENGTHS, "param_range": [0, 0.2, 0.4], "cv": 2, "fused": True}
    study["attacks"] = {"flips": LabelFlip()}
    robustness_curve({"a": net, "b": net}, *digits, **study)
    assert sizes == [6, 6]


def test_waves_change_nothing(digits, monkeypatch):
    study = {**STRENGTHS, "param_range": {"flips": [0, 0.2, 0.4], "noise": [0, 1.0, 2.0]}}
    before = robustness_curve({"tree": TREE, "bayes": BAYES}, *digits, **study)
    monkeypatch.setattr(_plan, "MAX_BYTES", 1)
    after = robustness_curve({"tree": TREE, "bayes": BAYES}, *digits, **study)
    for name, curve in before.items():
        assert_same(curve, after[name])


class Own(BaseLabelAttack):
    strength_name = "share"

    def __init__(self, share=0.1, random_state=None):
        self.share = share
        self.random_state = random_state

    def _relabel(self, X, codes, n_classes, random_state):
        new = codes.copy()
        n = round(self.share * len(codes))
        new[:n] = (codes[:n] + 1) % n_classes
        return new


class Duck:
    """An attack that derives from nothing."""

    def __init__(self, budget=0.5):
        self.budget = budget

    def get_params(self, deep=True):
        return {"budget": self.budget}

    def set_params(self, budget):
        self.budget = budget
        return self

    def poison(self, X, y):
        return X, np.where(np.arange(len(y)) < self.budget * len(y), (y + 1) % 10, y)


def test_each_attack_names_its_strength(digits):
    assert LabelFlip().strength_name == "rate"
    assert LabelFlip(transition=np.eye(2)).strength_name is None
    for cls in (CleanLabelPGA, RandomNoise, GradientMatching, BaseFeatureAttack):
        assert cls.strength_name == "budget"
    assert ChainedAttack([Own(), LabelFlip()]).strength_name == "own__share"
    assert ChainedAttack([]).strength_name is None
    attacks = {"own": Own(), "duck": Duck()}
    study = {**STRENGTHS, "attacks": attacks, "param_range": [0.0, 0.6]}
    curve = robustness_curve(BAYES, *digits, **study)
    assert curve.strength_names == {"own": "share", "duck": "budget"}
    np.testing.assert_array_equal(curve.scores["own"], curve.scores["duck"])
    point = breaking_point(BAYES, *digits, attack=Own(), max_budget=0.5, n_steps=1, cv=2,
                           random_state=0)  # fmt: skip
    assert list(point.drops)[-1] == 0.5


def test_the_strength_of_an_attack_inside_the_victim_is_a_parameter_as_before(digits):
    victim = PoisonedClassifier(BAYES, LabelFlip())
    study = {**STUDY, "attacks": {"inside": None}}
    inside = robustness_curve(
        victim, *digits, param_name="attack__rate", param_range=[0.0, 0.5], **study
    )
    assert inside.strengths is None
    assert inside.scores["inside"][1].mean() < inside.scores["inside"][0].mean()


def test_breaking_point_of_a_curve_over_strengths(digits):
    grid = [0.0, 0.2, 0.4, 0.6]
    attacks = {"clean": None, "flips": LabelFlip(), "own": Own()}
    study = {**STRENGTHS, "attacks": attacks, "param_range": grid}
    curve = robustness_curve(BAYES, *digits, **study)
    with pytest.raises(ValueError, match=r"`attack` must be the name of an attack \(\['flips', 'o"):
        breaking_point(curve)
    point = breaking_point(curve, attack="flips", drop=0.1)
    # The same as of a study whose attacks are named by their budgets.
    named = {repr(rate): LabelFlip(rate) if rate else None for rate in grid}
    old = robustness_curve(BAYES, *digits, **{**STUDY, "attacks": named})
    assert point == breaking_point(old, drop=0.1)
    only = robustness_curve(BAYES, *digits, **{**study, "attacks": {"flips": LabelFlip()}})
    assert breaking_point(only, drop=0.1) == point
    # An attack None is the strength 0.
    above = {**study, "param_range": grid[1:], "attacks": {"flips": LabelFlip(), "clean": None}}
    assert breaking_point(robustness_curve(BAYES, *digits, **above), drop=0.1) == point
    above["attacks"] = {"flips": LabelFlip()}
    with pytest.raises(ValueError, match="must have the strength 0 or an attack None"):
        breaking_point(robustness_curve(BAYES, *digits, **above))
    with pytest.raises(ValueError, match="`value` must be None with a curve over strengths"):
        breaking_point(curve, value=0.2)
    with pytest.raises(ValueError, match="`attack` must be None with a curve that is not over"):
        breaking_point(old, attack="0.2")


class Failing(GaussianNB):
    def fit(self, X, y):
        raise RuntimeError("no tree today")


def test_a_victim_that_always_fails_leaves_the_others(digits):
    # As a candidate of a grid search does.
    victims = {"fails": Failing(), "bayes": BAYES}
    words = r"(?s)^9 of 18 fits of the study failed.*is nan\.\n9 times:\nVictim 'fails': RuntimeErr"
    with pytest.warns(FitFailedWarning, match=words):
        curves = robustness_curve(victims, *digits, **STUDY)
    assert np.isnan(curves["fails"].scores["flips"]).all()
    assert_same(curves["bayes"], robustness_curve(BAYES, *digits, **STUDY))
    assert "fails, flips: no scores: all fits or their scores failed" in repr(curves)
    with pytest.raises(ValueError, match="All 9 fits of the study failed"):
        robustness_curve({"fails": Failing()}, *digits, **STUDY)
    with pytest.raises(RuntimeError, match="no tree today"):
        robustness_curve(victims, *digits, error_score="raise", **STUDY)
    several = {**STUDY, "scoring": ["accuracy", "f1_macro"]}
    with pytest.warns(FitFailedWarning):
        found = robustness_curve(victims, *digits, **several)
    assert list(found) == ["accuracy", "f1_macro"]
    assert isinstance(found["f1_macro"], RobustnessCurves)
    assert np.isnan(found["f1_macro"]["fails"].scores["clean"]).all()
    assert np.isfinite(found["f1_macro"]["bayes"].scores["clean"]).all()


def test_a_strength_that_always_fails_says_which(digits):
    study = {**STRENGTHS, "param_range": {"flips": [0.1, 2.0], "noise": [1.0, 2.0]}}
    with pytest.raises(ValueError, match=r"The attack 'flips at strength 2' failed each time"):
        robustness_curve(BAYES, *digits, **study)


class HalfRight(GaussianNB):
    def score(self, X, y, sample_weight=None):
        return 0.5 * super().score(X, y, sample_weight)


def test_each_victim_has_its_own_score_and_hits(split_digits):
    X, y, X_test, y_test = split_digits
    X, y = X[:300], y[:300]
    curves = robustness_curve(
        {"whole": BAYES, "half": HalfRight()}, X, y, test=(X_test, y_test), **STUDY
    )
    whole, half = curves.values()
    np.testing.assert_allclose(whole.scores["flips"], 2 * half.scores["flips"])
    # A score that is no share of rows has no hits; the other keeps its own.
    assert half.hits is None
    assert whole.hits["flips"].shape == (1, 3, -(-len(y_test) // 8))


def test_weights_go_to_every_victim(digits):
    X, y = digits
    weights = {"sample_weight": np.arange(len(y)) % 3 + 0.5}
    curves = robustness_curve({"tree": TREE, "bayes": BAYES}, X, y, params=weights, **STUDY)
    assert_same(curves["bayes"], robustness_curve(BAYES, X, y, params=weights, **STUDY))
    plain = robustness_curve(BAYES, X, y, **STUDY)
    assert (plain.scores["clean"] != curves["bayes"].scores["clean"]).any()


def test_curves_are_saved_whole(digits, tmp_path):
    study = {**STRENGTHS, "param_range": {"flips": [0, 0.2], "noise": [0, 1.0]}}
    curves = robustness_curve(VICTIMS, *digits, scoring="accuracy", **study)
    curves.save(tmp_path / "curves.json")
    loaded = RobustnessCurves.load(tmp_path / "curves.json")
    assert isinstance(loaded, RobustnessCurves)
    assert repr(loaded) == repr(curves)
    for name in VICTIMS:
        assert_same(loaded[name], curves[name])
        assert loaded[name].strength_names == curves[name].strength_names
        assert loaded[name].metric == "accuracy"
    curves["tree"].save(tmp_path / "curve.json")
    assert_same(RobustnessCurve.load(tmp_path / "curve.json"), curves["tree"])
    with pytest.raises(ValueError, match=r"curve\.json must hold RobustnessCurves in JSON"):
        RobustnessCurves.load(tmp_path / "curve.json")
    text = (tmp_path / "curve.json").read_text()
    for old, new in (('"rate"', "3"), ('"flips": "rate"', '"x": "rate"'), ("0.2\n", "-0.2\n")):
        assert old in text
        (tmp_path / "bad.json").write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=r"bad\.json must hold a RobustnessCurve in JSON"):
            RobustnessCurve.load(tmp_path / "bad.json")


def test_the_words_of_curves():
    table = {"flips": np.array([[0.9, 0.88, 0.89], [0.7, 0.66, 0.71]])}
    strengths = {"strengths": {"flips": [0.4, 0.0]}, "strength_names": {"flips": "labelflip__rate"}}
    curve = RobustnessCurve("strength", [0.4, 0.0], table, table, table, 3, 1, 0.5, **strengths)
    single = {"flips": table["flips"][:1]}
    once = RobustnessCurve("", [None], single, single, single, 3, 1, 0.5)
    # From the smallest strength to the largest, whatever their order.
    fall = "from 0.69 at rate 0 to 0.89 at rate 0.4, a fall of -0.20 [-0.28, -0.12]"
    assert (
        repr(curve)
        == f"RobustnessCurve over strength (2 values), 3 folds x 1 repeat\nflips: {fall}"
    )
    assert repr(once) == "RobustnessCurve, 3 folds x 1 repeat\nflips: 0.89"
    assert "<td>0.890 ± 0.010</td>" in once._repr_html_()
    assert repr(RobustnessCurves({"a": curve, "b": curve})).splitlines() == [
        "RobustnessCurves of 2 victims over strength (2 values), 3 folds x 1 repeat",
        f"a, flips: {fall}",
        f"b, flips: {fall}",
    ]
    mixed = RobustnessCurves({"a": curve, "<b>": once})
    assert "a over strength (2 values), flips: from" in repr(mixed)
    assert "<h4>&lt;b&gt;</h4><table>" in mixed._repr_html_()
    assert mixed.to_frame().columns.tolist()[:3] == ["victim", "attack", "strength"]
    assert once.to_frame().columns.tolist()[:2] == ["attack", "split"]
    assert repr(RobustnessCurves({})) == "RobustnessCurves of 0 victims"
    with pytest.raises(TypeError, match="must have names and RobustnessCurves, got 'a' and an ins"):
        RobustnessCurves({"a": 3})
