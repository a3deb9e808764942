"""What fails leaves nothing half done; what is misused says so; what is given is only read."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from skorch.dataset import Dataset

from makers import (
    HOLED,
    INSTANCE,
    NAN,
    NARROW,
    NoFit,
    X,
    Y,
    backdoor,
    chosen,
    flip,
    match,
    net,
    noise,
    parted,
    pga,
    stopping,
    study,
    trimmed,
)
from skpoison import (
    MLP,
    ChainedAttack,
    LabelFlip,
    MnistConvNet,
    PoisonedClassifier,
    RobustnessCurve,
    RobustnessCurveDisplay,
    fit_many,
)
from skpoison.attacks import BaseAttack, BaseFeatureAttack, BaseLabelAttack

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)


class Writing(MLP):
    def forward(self, X):
        return super().forward(X.mul_(0.5))


class Halving(MLP):
    def forward(self, X):
        return super().forward(X * 0.5)


# 1
@pytest.mark.parametrize("given", [False, True])
def test_validation_data_are_not_worn_down_by_a_module_that_writes(given):
    held_out = {"X_val": X, "y_val": Y} if given else {}
    a, b = (net(m, max_epochs=4, early_stopping=True) for m in (Writing, Halving))
    a.fit(X, Y, **held_out), b.fit(X, Y, **held_out)
    np.testing.assert_allclose(a.history[:, "valid_loss"], b.history[:, "valid_loss"], rtol=1e-5)


def test_datasets_are_only_read():
    data = Dataset(torch.tensor(X, dtype=torch.float32), torch.tensor(Y))
    before = data.X.clone()
    fitted = net(Writing, module__n_features=6, module__n_classes=4).fit(data)
    fitted.predict(data)
    assert torch.equal(data.X, before)


# 2
@pytest.mark.parametrize(
    "estimator",
    [
        net(early_stopping=True, validation_fraction=0.01),
        net(optimizer__momentum=-1),
        net(iterator_train__foo=1),
        net(module__n_classes=2),
        net(module__n_classes=7),
    ],
)
def test_a_failed_fit_leaves_a_net_unfitted(estimator):
    with pytest.raises(Exception, match=r"."):
        estimator.fit(X, Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


class Breaks(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise RuntimeError("broke")


def test_a_fit_that_breaks_while_it_trains():
    estimator = net(max_epochs=2, callbacks=[Breaks()])
    with pytest.raises(RuntimeError):
        estimator.fit(X, Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


BAD = [(NARROW, Y[:3]), (NARROW, Y * 0), (X.reshape(40, 2, 3), Y[:3]), (NARROW, None)]


@pytest.mark.parametrize("bad", BAD)
def test_a_fitted_net_survives_a_failed_refit(bad):
    estimator = net().fit(X, Y)
    before = estimator.predict_proba(X)
    with pytest.raises(ValueError, match=r"."):
        estimator.fit(*bad)
    np.testing.assert_array_equal(estimator.predict_proba(X), before)


# 3
@pytest.mark.parametrize("bad", [(X, Y[:3]), (X, Y * 0), (X, None), (X * 9, Y)])
@pytest.mark.parametrize(
    "attack",
    [pga(), noise(), LabelFlip(), ChainedAttack([LabelFlip()])],
    ids=lambda a: type(a).__name__,
)
def test_a_failed_attack_stays_unfitted(attack, bad):
    if bad[0].max() > 1 and not hasattr(attack, "clip"):
        bad = (X[:9], Y)  # No box to leave: what it refuses instead.
    with pytest.raises(ValueError, match=r"."):
        attack.fit(*bad)
    with pytest.raises(NotFittedError):
        check_is_fitted(attack)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("attack", [pga(), noise()], ids=lambda a: type(a).__name__)
def test_a_fitted_attack_survives_a_failed_refit(attack, bad):
    attack.fit(X, Y)
    before = pickle.dumps(vars(attack))
    with pytest.raises(ValueError, match=r"."):
        attack.fit(*bad)
    attack.transform(X)
    assert attack.n_features_in_ == 6
    assert pickle.dumps(vars(attack)) == before


# 4
class Nothing(BaseEstimator):
    def poison(self, X, y):
        return None


class Fewer(BaseEstimator):
    def poison(self, X, y):
        return X[:7], y[:7]


@pytest.mark.parametrize("poison", ["fold", "dataset"])
@pytest.mark.parametrize("attack", [Nothing(), Fewer()])
def test_attacks_that_break_the_rule(attack, poison):
    with pytest.raises((TypeError, ValueError), match=r"`poison` of (Nothing|Fewer) must"):
        study(attacks={"a": attack}, poison=poison, error_score="raise")
    with pytest.raises(ValueError, match="The attack 'a' failed each time that it ran in repeat 0"):
        study(attacks={"a": attack}, poison=poison)
    with pytest.raises((TypeError, ValueError), match=r"`poison` of (Nothing|Fewer) must"):
        PoisonedClassifier(net(), attack).fit(X, Y)


# 5
def test_logits_do_not_write_into_the_callers_tensor():
    fitted = net(Writing).fit(X, Y)
    rows = torch.tensor(X, dtype=torch.float32)
    before = rows.clone()
    fitted.logits(rows)
    assert torch.equal(rows, before)
    pga(net(Writing)).poison(X.astype(np.float32), Y)


# 6
@pytest.mark.parametrize("odd", [X[::-1], X[:, ::-1], X.astype(">f8"), X.astype(np.longdouble)])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: net().fit(x, Y),
        lambda x: net().fit(X, Y).predict(x),
        lambda x: pga().poison(x, Y),
        lambda x: noise().poison(x, Y),
        lambda x: net(early_stopping=True).fit(X, Y, X_val=x, y_val=Y),
    ],
)
def test_memory_of_any_layout(call, odd):
    call(odd)


def test_out_backwards():
    pga().poison(X, Y, out=np.zeros((40, 6))[::-1])


# 7
@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
def test_other_numbers_of_logits(n):
    with pytest.raises(ValueError, match="`module` must map rows to logits, one for each of the 4"):
        net(module__n_classes=n).fit(X, Y)


@pytest.mark.parametrize("module", [lambda: 3, torch.nn.ReLU, LogisticRegression])
def test_what_is_no_module(module):
    with pytest.raises(TypeError, match=r"`module` must return a torch.nn.Module with parameters"):
        net(module).fit(X, Y)


# 8
class Rgb(torch.nn.Module):
    input_shape = (3, 4, 5)

    def __init__(self, n_classes):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(12, n_classes)
        )

    def forward(self, X):
        return self.layers(X)


def test_channels_last_are_not_scrambled():
    images = RNG.random((12, 4, 5, 3))
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\), the `input_shape` of `module`"):
        net(Rgb).fit(images, np.arange(12) % 2)
    net(Rgb).fit(np.moveaxis(images, -1, 1), np.arange(12) % 2)
    net(Rgb).fit(images.reshape(12, -1), np.arange(12) % 2)


# 9
def attack_of(hook):
    class Own(BaseFeatureAttack):
        def _perturb(self, X, y, random_state):
            return hook(X)

    return Own(norm="l2,inf", budget=0.2)


@pytest.mark.parametrize(
    "hook",
    [lambda X: X.mean(0), lambda X: X[:, :1], lambda X: X[:1], lambda X: None, lambda X: X + 1j],
)
def test_perturbations_of_another_shape(hook):
    with pytest.raises(ValueError, match="`_perturb` of Own must return real numbers of shape"):
        attack_of(hook).poison(X, Y)


@pytest.mark.parametrize(
    "hook",
    [lambda c: c - 1, lambda c: c[:, None], lambda c: c + 1, lambda c: None, lambda c: c / 1],
)
def test_labels_of_another_kind(hook):
    class Own(BaseLabelAttack):
        def _relabel(self, X, codes, n_classes, random_state):
            return hook(codes)

    with pytest.raises(ValueError, match="`_relabel` of Own must return integers from 0 to 3"):
        Own().poison(X, Y)


def test_hooks_cannot_write_into_the_callers_rows():
    mine = X.copy()
    with pytest.raises(ValueError, match="read-only"):
        attack_of(lambda X: np.multiply(X, 2, out=X)).poison(mine, Y)
    np.testing.assert_array_equal(mine, X)


def test_hooks_cannot_write_into_the_callers_labels():
    class Swaps(BaseAttack):
        random_state = None

        def _poison(self, X, y, random_state):
            y[0] = y[-1]
            return X, y

    for mine in (Y.copy(), Y.astype("U")):
        before = mine.copy()
        with pytest.raises(ValueError, match="read-only"):
            Swaps().poison(X, mine)
        np.testing.assert_array_equal(mine, before)


def test_an_attack_that_does_nothing_returns_copies():
    class Idle(BaseAttack):
        random_state = None

        def _poison(self, X, y, random_state):
            return X, y

    X_new, y_new = Idle().poison(X, Y)
    assert not np.shares_memory(X_new, X)
    assert not np.shares_memory(y_new, Y)


# 10
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_fit_many_that_breaks_leaves_nets_unfitted(error):
    class Breaks(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise error("broke")

    nets = [net(callbacks=[Breaks()], random_state=seed) for seed in range(3)]
    with pytest.raises(error):
        fit_many(nets, [(X, Y)] * 3, fused=True)
    for each in nets:
        with pytest.raises(NotFittedError):
            check_is_fitted(each)


# 11
def test_plot_options_are_checked_before_the_study_runs():
    with pytest.raises(ValueError, match="`std_display_style`"):
        RobustnessCurveDisplay.from_estimator(
            None, X, Y, attacks=None, param_name=None, param_range=None, std_display_style="x"
        )


# 12 to 21
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: LabelFlip(transition=np.eye(4) * (1 + 1j)).fit(X, Y), ValueError, "`transition`"),
        (lambda: net(module__width=0).fit(X, Y), ValueError, "`width` must be an integer >= 1"),
        (lambda: net(module__width=-1).fit(X, Y), ValueError, "`width` must be an integer >= 1"),
        (lambda: net(module__width=2.5).fit(X, Y), ValueError, "`width` must be an integer >= 1"),
        (lambda: net(module__depth=1.5).fit(X, Y), ValueError, "`depth` must be an integer >= 1"),
        (lambda: MnistConvNet(width=0), ValueError, "`width` must be an integer >= 1, got 0"),
        (lambda: net().fit(X, Y).predict(X * 1e300), ValueError, "float32 can hold"),
        (lambda: net().fit(X * 1e300, Y), ValueError, "float32 can hold"),
        (lambda: net(device="gpu").fit(X, Y), ValueError, "`device` must be .* 'gpu'"),
        (lambda: net(device=None).fit(X, Y), ValueError, "`device` must be .* None"),
        (lambda: net(classes=[0, 0, 1, 2, 3]).fit(X, Y), ValueError, "`classes` must be different"),
        (
            lambda: net().fit(X, Y).partial_fit(X, Y, classes=[5, 6]),
            ValueError,
            "`classes` must be",
        ),
        (lambda: study(cv=[]), ValueError, "`cv` must give"),
        (lambda: study(cv=[(np.arange(40), [])]), ValueError, "`cv` must give"),
        (lambda: study(cv=[([], np.arange(40))]), ValueError, "`cv` must give"),
        (lambda: study(param_name=None), TypeError, "`param_name` must be a string, got None"),
        (lambda: study(param_range=None), TypeError, "`param_range` must be .* got None"),
        (lambda: study(param_range=5), TypeError, "`param_range` must be .* got 5"),
        (lambda: study(test={"X": X, "y": Y}), ValueError, "`test` must be a pair"),
        (lambda: study(test="ab"), ValueError, "`test` must be a pair"),
        (lambda: noise(budget=10**400).fit(X, Y), ValueError, "`budget` must be finite"),
        (lambda: net(lr=10**400).fit(X, Y), ValueError, "`lr` must be finite"),
        (lambda: ChainedAttack([LabelFlip]).fit(X, Y), TypeError, "`attacks` must hold attacks"),
        (lambda: noise(norms="a").fit(X, Y), ValueError, "`norms` must be"),
        (
            lambda: pga(FrozenEstimator(net().fit(NARROW, Y))).fit(X, Y),
            ValueError,
            r"X must have rows of shape \(3,\)",
        ),
        (
            lambda: net().fit(X, Y).logits(torch.zeros(2, 5)),
            ValueError,
            "X must have rows of shape",
        ),
    ],
)
def test_words(call, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        call()


def test_a_curve_of_failures_says_so():
    table = {"a": np.full((1, 2), np.nan)}
    curve = RobustnessCurve("w", [1], table, table, table, 2, 1, 1.0)
    with pytest.raises(ValueError, match=r"`name` .* 'a'.* failed"):
        curve.peak("a")


def test_a_file_of_huge_numbers_holds_no_curve(tmp_path):
    table = {"a": np.zeros((1, 2))}
    RobustnessCurve("w", [1], table, table, table, 2, 1, 1.0).save(tmp_path / "c")
    text = (tmp_path / "c").read_text().replace("0.0", "1" + "0" * 400, 1)
    (tmp_path / "c").write_text(text)
    with pytest.raises(ValueError, match="must hold"):
        RobustnessCurve.load(tmp_path / "c")


# 22
def test_logits_after_a_fit_on_a_dataset():
    data = Dataset(torch.tensor(X, dtype=torch.float32), torch.tensor(Y))
    fitted = net(module__n_features=6, module__n_classes=4).fit(data)
    assert fitted.logits(torch.tensor(X)).shape == (40, 4)


# 23
ESTIMATORS = {
    "pga": lambda **kwargs: pga(norm="l2,inf", budget=0.1, max_iter=5, **kwargs),
    "noise": noise,
    "flip": flip,
    "chosen": chosen,
    "match": match,
    "backdoor": backdoor,
    "chain": lambda: ChainedAttack([flip()]),
    "net": net,
    "poisoned": lambda: PoisonedClassifier(net(), flip()),
    "clean": lambda: PoisonedClassifier(net()),
    "parted": parted,
    "trimmed": trimmed,
}


UNREAD = "flip", "chain"  # Attacks that do not look at X.
TAKE_HOLES = *UNREAD, "noise", "backdoor"  # Attacks that leave missing cells where they are.


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_failed_fit_leaves_nothing_half_done(name):
    # Fails if attributes are set before the data are checked.
    estimator = ESTIMATORS[name]()
    bad = (X, np.where(Y, Y, NAN)) if name in TAKE_HOLES else (HOLED[NAN], Y)
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(*bad)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError):
                getattr(estimator, method)(X)


@pytest.mark.parametrize(
    "estimator",
    [
        pga(budget=-1),
        pga(loss="hinge"),
        pga(clip=(1, 0)),
        noise(norm="l1"),
        flip(2),
        flip(transition=np.eye(4) * 0.9),
        ChainedAttack([]),
        net(lr=-1),
        net(module__depth=0),
        net(module__witdh=1),
        net(classes=[0, 1]),
        net(module=MnistConvNet),
        PoisonedClassifier(net(lr=-1), flip()),
        PoisonedClassifier(net(), flip(2)),
        PoisonedClassifier(NoFit()),
        parted(0),
        parted(estimator=net(lr=-1)),
        parted(estimator=NoFit()),
        trimmed(1.0),
        trimmed(estimator=NoFit()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_fit_with_bad_parameters_leaves_nothing_half_done(estimator):
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        estimator.fit(X, Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


@pytest.mark.parametrize(
    ("X_val", "y_val"), [(X[:4], Y[:4] + 9), (NARROW, Y), (HOLED[NAN], Y), (X, Y[:3])]
)
def test_bad_validation_data_leave_a_net_unfitted(X_val, y_val):
    estimator = stopping()
    with pytest.raises(ValueError, match=r"y must|features|NaN"):
        estimator.fit(X, Y, X_val=X_val, y_val=y_val)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


REFUSED = r"NaN|y must|continuous|strings|0 sample|features|Expected 2D"


BAD_DATA = {
    "NaN": (HOLED[NAN], Y),
    "short y": (X, Y[:3]),
    "no y": (X, None),
    "one class": (X, np.zeros(40)),
    "continuous": (X, X[:, 0]),
    "words": (X.astype(str), Y),
    "empty": (X[:0], Y[:0]),
    "one axis": (X[:, 0], Y),
}
TAKEN = {
    ("parted", "one class"),  # A partition may have one.
    ("parted", "words"),  # Its estimator reads numbers in texts.
    *((name, "NaN") for name in TAKE_HOLES),
    *((name, bad) for name in UNREAD for bad in ("words", "one axis")),
}
REFUSING = [(n, bad) for n in ESTIMATORS for bad in BAD_DATA if (n, bad) not in TAKEN]


@pytest.mark.parametrize(("name", "bad"), REFUSING)
def test_what_is_fitted_survives_bad_data(name, bad):
    estimator = ESTIMATORS[name]().fit(X, Y)
    before = what_was_learned(estimator)
    with pytest.raises(ValueError, match=REFUSED):
        estimator.fit(*BAD_DATA[bad])
    assert what_was_learned(estimator) == before


@pytest.mark.parametrize("bad", [(HOLED[NAN], Y), (X, Y[:3]), (X, Y + 1), (NARROW, Y), (X[:0], [])])
def test_a_fitted_net_survives_bad_rows_in_partial_fit(bad):
    estimator = net().fit(X, Y)
    before = what_was_learned(estimator)
    with pytest.raises(ValueError, match=REFUSED):
        estimator.partial_fit(*bad)
    assert what_was_learned(estimator) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", -1),
        ("lr", NAN),
        ("max_epochs", -1),
        ("batch_size", "a"),
        ("validation_fraction", 2),
        ("early_stopping", "x"),
        ("n_iter_no_change", 0),
        ("module", INSTANCE),
        ("drop_last", None),
    ],
)
def test_a_fitted_net_survives_bad_parameters(name, value):
    estimator = net().fit(X, Y)
    before = what_was_learned(estimator)
    good = getattr(estimator, name)
    # Past set_params, which makes the components anew.
    setattr(estimator, name, value)
    with pytest.raises((ValueError, TypeError), match=f"`{name}` must "):
        estimator.fit(X, Y)
    setattr(estimator, name, good)
    assert what_was_learned(estimator) == before


def what_was_learned(estimator):
    learned = [estimator.classes_.tolist(), estimator.n_features_in_]
    for name in ("predict_proba", "transform"):
        if hasattr(estimator, name):
            learned.append(getattr(estimator, name)(X).tobytes())
    for name in ("poison_indices_", "perturbation_norms_"):
        if hasattr(estimator, name):
            learned.append(getattr(estimator, name).tobytes())
    return learned
