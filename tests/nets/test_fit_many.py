import time

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, EarlyStopping, Freezer, LRScheduler
from torch import nn

from skpoison import MLP, Linear, MnistConvNet, NetClassifier, use_threads
from skpoison.modules import TwoLayerReLU
from skpoison.nets import fit_many


def make_nets(n, module=MLP, **kwargs):
    defaults = {"lr": 0.5, "batch_size": 32, "max_epochs": 3, "module": module}
    if module is MLP:
        defaults["module__width"] = 16
    if module is Convolving:
        # At a rate of 0.5 its training is chaotic: rounding grows to percents in three epochs.
        defaults["lr"] = 0.05
    return [NetClassifier(**{**defaults, **kwargs}, random_state=seed) for seed in range(n)]


def make_data(digits, n, sizes=(300,)):
    """Parts of the digits of the given sizes in turn, each with rows of its own."""
    X, y = digits
    rng = np.random.default_rng(0)
    rows = [rng.permutation(300)[: sizes[k % len(sizes)]] for k in range(n)]
    return [(X[part], y[part]) for part in rows]


def assert_close(net, other, tolerance=1e-4):
    for (name, value), (_, expected) in zip(
        net.module_.named_parameters(), other.module_.named_parameters(), strict=True
    ):
        difference = (value - expected).norm() / expected.norm()
        assert difference <= tolerance, f"{name}: {difference}"
    assert len(net.history_) == len(other.history_)
    for column in ("train_loss", "epoch", "train_batch_count"):
        np.testing.assert_allclose(net.history_[:, column], other.history_[:, column], rtol=1e-4)


class Convolving(nn.Module):
    """Something else than our own modules, of convolution and norm without running statistics."""

    input_shape = (1, 8, 8)

    def __init__(self, n_classes):
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3)
        self.norm = nn.GroupNorm(1, 3)
        self.last = nn.Linear(108, n_classes)
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, X):
        return self.last(torch.tanh(self.norm(self.first(X))).flatten(1)) * self.scale


class Squashing(MLP):
    """With a forward of its own it is no chain of layers, whatever it does."""

    def forward(self, X):
        return super().forward(torch.tanh(X))


class Deep(nn.Sequential):
    """A chain with all that a chain may have: no bias, no ReLU between, a chain within."""

    def __init__(self, n_features, n_classes):
        within = nn.Sequential(nn.Linear(12, 9, bias=False), nn.Linear(9, 7), nn.ReLU())
        super().__init__(
            nn.Flatten(), nn.Linear(n_features, 12), nn.ReLU(), within, nn.Linear(7, n_classes)
        )


@pytest.mark.parametrize("module", [MLP, Linear, Deep, Squashing, Convolving])
@pytest.mark.parametrize(
    "sizes",
    [(300,), (300, 100, 257, 299), (300, 20, 300, 9)],
    ids=["equal", "unequal", "less than a batch"],
)
def test_stacked_nets_are_those_fitted_alone(digits, module, sizes):
    # Fails if members share their order of rows, or one with fewer batches goes on too long.
    data = make_data(digits, 6, sizes)
    nets = fit_many(make_nets(6, module), data, fused=True)
    for net, alone, part in zip(nets, make_nets(6, module), data, strict=True):
        assert_close(net, alone.fit(*part))
        assert net.score(*part) == alone.score(*part)


def test_stack_is_really_used(digits, capsys):
    # What the test above compares with one-by-one fits must not be one-by-one fits.
    data = make_data(digits, 4, (300, 20))
    for module in (MLP, Linear, Deep, Squashing, Convolving):
        fit_many(make_nets(4, module), data, fused=True, verbose=1)
        fit_many(make_nets(4, module, batch_size=-1), data, fused=True, verbose=1)
    fit_many(make_nets(4), make_data(digits, 4), verbose=1)
    assert capsys.readouterr().out == ""


def test_a_generator_that_nets_share_gives_what_it_gives_one_by_one(digits):
    # Fails if all initialisations are drawn before all orders.
    data = make_data(digits, 3)
    together, alone = (
        [net.set_params(random_state=state) for net in make_nets(3)]
        for state in (np.random.RandomState(5), np.random.RandomState(5))
    )
    fit_many(together, data, fused=True)
    for net, other, part in zip(together, alone, data, strict=True):
        assert_close(net, other.fit(*part))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_row_that_no_batch_has_does_no_harm():
    # Fails if batches are filled up with a row whose products overflow: 0 times inf is NaN.
    X, y = np.random.default_rng(0).random((5, 16)).astype(np.float32), np.arange(5) % 2
    X[0] = 3.3e38
    options = {"lr": 1e-3, "batch_size": 3, "max_epochs": 1}
    without = np.r_[np.zeros((1, 16), np.float32), X[1:]]
    n_unused = 0
    for k in range(30):
        net, alone, other = (make_nets(k + 1, **options)[k] for _ in range(3))
        alone.fit(X, y)
        if alone.history_[-1, "train_loss"] != other.fit(without, y).history_[-1, "train_loss"]:
            continue
        n_unused += 1
        fit_many([net], [(X, y)], fused=True)
        assert_close(net, alone)
    assert n_unused > 5


def test_numpys_false_is_false(digits, capsys):
    fit_many(make_nets(3), make_data(digits, 3), fused=np.False_, verbose=1)
    assert "3 nets are fitted one by one: `fused` is False" in capsys.readouterr().out


@pytest.mark.parametrize("part", [(), (1, 2, 3), (1, 2, 3, 4, 5), None])
def test_data_are_tuples(part):
    nets = make_nets(1)
    with pytest.raises(ValueError, match=r"`data` must have tuples \(X, y\), .* got a "):
        fit_many(nets, [part])
    assert not hasattr(nets[0], "module_")


def test_history_is_that_of_a_net_fitted_alone(digits):
    # Fails if what a stack records in skorch's place has other names, or other bests.
    data = make_data(digits, 3)
    kwargs = {"lr": 2.0, "max_epochs": 8}
    nets = fit_many(make_nets(3, **kwargs), data, fused=True)
    alone = [net.fit(*part) for net, part in zip(make_nets(3, **kwargs), data, strict=True)]
    assert not all(net.history_[-1, "train_loss_best"] for net in alone)
    for net, other in zip(nets, alone, strict=True):
        assert [list(row) for row in net.history_] == [list(row) for row in other.history_]
        for column in ("batches", "epoch", "train_loss_best", "train_batch_count"):
            assert net.history_[:, column] == other.history_[:, column]
        ours, theirs = net.history_[:, "train_loss"], other.history_[:, "train_loss"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
        durations = net.history_[:, "dur"]
        assert all(isinstance(seconds, float) and seconds >= 0 for seconds in durations)


def test_members_whose_callbacks_do_more_are_told_of_their_epochs(digits, capsys):
    # Fails if a stack takes for quiet what prints, has another sink, or has validation data.
    data, lines = make_data(digits, 3), []
    fit_many(make_nets(3, verbose=1), data, fused=True)
    assert capsys.readouterr().out.count("train_loss") == 3
    fit_many(make_nets(3, callbacks__print_log__sink=lines.append), data, fused=True)
    assert len(lines) == 3 * (2 + 3)
    options = {"early_stopping": True, "callbacks__early_stopping": None}
    nets = fit_many(make_nets(3, **options), data, fused=True)
    for net, alone, part in zip(nets, make_nets(3, **options), data, strict=True):
        ours, theirs = (model.history_[:, "valid_acc"] for model in (net, alone.fit(*part)))
        np.testing.assert_allclose(ours, theirs)
    start = time.perf_counter()
    nets = fit_many(make_nets(3), data, fused=True)
    wall = time.perf_counter() - start
    # They share their epochs' time.
    assert all(0 < sum(net.history_[:, "dur"]) < wall for net in nets)


@pytest.mark.parametrize("given", [False, True])
def test_early_stopping_of_each_member(digits, given):
    # Fails if the stack goes on with the members that stopped, or loses their best weights.
    X, y = digits
    data = make_data(digits, 5, (200, 150))
    if given:
        data = [(*part, X[200:], y[200:]) for part in data]
    kwargs = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 12, "lr": 0.3}
    nets = fit_many(make_nets(5, **kwargs), data, fused=True)
    alone = make_nets(5, **kwargs)
    for net, other, part in zip(nets, alone, data, strict=True):
        other.fit(*part)
        np.testing.assert_allclose(net.history_[:, "valid_acc"], other.history_[:, "valid_acc"])
        assert_close(net, other, 1e-3)
    assert len({len(net.history_) for net in nets}) > 1


@pytest.mark.parametrize("threads", [1, 2])
def test_bits_do_not_depend_on_the_company(digits, threads):
    data = make_data(digits, 20, (300, 270))
    with use_threads(threads):
        whole = fit_many(make_nets(20), data, fused=True)
        few = fit_many(make_nets(20)[:3], data[:3], fused=True)
        alone = fit_many(make_nets(1), data[:1], fused=True)
    for net, other in [*zip(few, whole, strict=False), (alone[0], whole[0])]:
        for a, b in zip(net.module_.parameters(), other.module_.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("n_features", "width", "batch_size"),
    [(64, 5, 3), (33, 16, 32), (33, 5, 3), (7, 3, 16), (64, 16, 10), (5, 2, 1)],
)
def test_bits_do_not_depend_on_the_place_in_a_stack(n_features, width, batch_size):
    # Fails if a net's matrices do not begin with a line of the cache at every place.
    rng = np.random.default_rng(0)
    data = [(rng.random((n, n_features)), np.arange(n) % 4) for n in rng.integers(40, 80, 12)]

    def make():
        kwargs = {"max_epochs": 3, "batch_size": batch_size, "module__width": width, "lr": 0.3}
        return [NetClassifier(MLP, random_state=seed, **kwargs) for seed in range(12)]

    whole = fit_many(make(), data, fused=True)
    for alone, part, net in zip(make(), data, whole, strict=True):
        assert_close(net, alone.fit(*part))
    for places in ([3], [11, 0, 5], rng.permutation(12)[:7], rng.permutation(12)):
        nets = make()
        fit_many([nets[k] for k in places], [data[k] for k in places], fused=True)
        for k in places:
            pairs = zip(nets[k].module_.parameters(), whole[k].module_.parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer__momentum": 0.9, "lr": 0.05},
        {"optimizer__momentum": 0.9, "optimizer__nesterov": True, "lr": 0.05},
        {"optimizer__momentum": 0.5, "optimizer__dampening": 0.3, "optimizer__weight_decay": 0.1},
        {"optimizer__lr": 0.2},
        {"batch_size": -1},
        {"drop_last": False, "batch_size": 50},
    ],
    ids=str,
)
def test_options_of_sgd(digits, options, capsys):
    data = make_data(digits, 4, (300, 250) if options.get("batch_size") != -1 else (300,))
    nets = fit_many(make_nets(4, **options), data, fused=True, verbose=1)
    assert capsys.readouterr().out == ""
    for net, alone, part in zip(nets, make_nets(4, **options), data, strict=True):
        assert_close(net, alone.fit(*part))


def test_callbacks_of_each_member_are_served(digits):
    # Fails if a member has the rates of another, or goes on when its callback has had enough.
    data = make_data(digits, 4)

    def make():
        nets = make_nets(4, max_epochs=5)
        for k, net in enumerate(nets):
            schedule = LRScheduler(policy="StepLR", step_size=1, gamma=0.5 + 0.1 * k)
            net.set_params(callbacks=[("schedule", schedule)])
        nets[3].callbacks.append(
            ("stop", EarlyStopping(monitor="train_loss", patience=1, threshold=9, sink=print))
        )
        return nets

    for net, alone, part in zip(fit_many(make(), data, fused=True), make(), data, strict=True):
        assert_close(net, alone.fit(*part))
        rate = net.optimizer_.param_groups[0]["lr"]
        assert rate == alone.optimizer_.param_groups[0]["lr"]


def test_unlike_nets_are_grouped(digits, capsys):
    nets = [*make_nets(3), *make_nets(3, module__width=8), *make_nets(2, Linear)]
    nets += make_nets(3, lr=0.1)
    data = make_data(digits, len(nets))
    labels = [(X, y.astype(str)) if k % 2 else (X, y) for k, (X, y) in enumerate(data)]
    fit_many(nets, labels, verbose=1)
    assert "2 nets are fitted one by one: 2 of a kind is too few" in capsys.readouterr().out
    for net, part in zip(nets, labels, strict=True):
        assert_close(net, clone(net).fit(*part))
        assert net.score(*part) == clone(net).fit(*part).score(*part)


class Dropping(MLP):
    def __init__(self, n_features, n_classes, width):
        super().__init__(n_features, n_classes, width)
        self.layers.append(nn.Dropout(0.1))


class Normed(MLP):
    def __init__(self, n_features, n_classes, width):
        super().__init__(n_features, n_classes, width)
        self.layers.insert(1, nn.BatchNorm1d(n_features))


class Remembering(MLP):
    def __init__(self, n_features, n_classes, width):
        super().__init__(n_features, n_classes, width)
        self.register_buffer("n_passes", torch.zeros(1))

    def forward(self, X):
        self.n_passes.add_(1)
        return super().forward(X)


class Drawing(MLP):
    def forward(self, X):
        return super().forward(X) + 0.01 * torch.randn(1, device=X.device)


class Deciding(MLP):
    def forward(self, X):
        return super().forward(X) if X.sum() > -1e9 else X


class Batching(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


class Own(NetClassifier):
    pass


@pytest.mark.parametrize("options", [{}, {"optimizer__momentum": 0.9}, {"early_stopping": True}])
def test_constant_buffers_are_stacked(digits, options, capsys):
    # Each net has random signs of its own in a buffer: fails if a stack takes those of another.
    X, y = digits[0][digits[1] < 2][:120], digits[1][digits[1] < 2][:120]
    options = {"module__width": 8, "lr": 0.2, "max_epochs": 3, "batch_size": 16, **options}

    def nets():
        return [NetClassifier(TwoLayerReLU, random_state=k, **options) for k in range(4)]

    data = [(X[k:], y[k:]) for k in range(4)]
    stacked = fit_many(nets(), data, fused=True, verbose=1)
    assert "one by one" not in capsys.readouterr().out
    for net, alone, part in zip(stacked, nets(), data, strict=True):
        alone.fit(*part)
        assert torch.equal(net.module_.signs, alone.module_.signs)
        torch.testing.assert_close(net.module_.weight, alone.module_.weight, rtol=1e-4, atol=1e-5)
    assert len({tuple(net.module_.signs.tolist()) for net in stacked}) == 4


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"module": Dropping, "module__width": 8}, "dropout"),
        ({"module": Normed, "module__width": 8}, "batch normalisation"),
        ({"module": Remembering, "module__width": 8}, "the module changes its buffers"),
        ({"module": Drawing, "module__width": 8}, "vmap does not take the module"),
        ({"module": Deciding, "module__width": 8}, "vmap does not take the module"),
        ({"criterion": nn.MultiMarginLoss}, "cross-entropy"),
        ({"criterion__label_smoothing": 0.1}, "cross-entropy"),
        ({"optimizer": torch.optim.Adam, "lr": 0.01}, "not SGD"),
        ({"optimizer__maximize": False}, "options that a stack does not know"),
        ({"callbacks": [Batching()]}, "'Batching' may act on the steps"),
        ({"callbacks": [Freezer("layers.1.*")]}, "'Freezer' may act on the steps"),
        ({"callbacks": [LRScheduler("StepLR", step_size=1, step_every="batch")]}, "may act on"),
        ({"callbacks": [("same", LRScheduler("StepLR", step_size=1))]}, "nets share a callback"),
        ({"drop_last": False}, "full ones"),
        ({"batch_size": 301}, "full ones"),
        ({"warm_start": True}, "warm_start"),
        ({"iterator_train__shuffle": False}, "iterator_train"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_stacked_is_fitted_alone(digits, options, reason, capsys):
    data = make_data(digits, 3)
    nets = fit_many(make_nets(3, **options), data, fused=True, verbose=1)
    assert reason in capsys.readouterr().out
    for net, alone, part in zip(nets, make_nets(3, **options), data, strict=True):
        # A clone has callbacks of its own.
        assert_close(net, clone(alone).fit(*part))


class Drawn(MLP):
    """Two of a kind by all that is written on them, and still not the same function."""

    def __init__(self, n_features, n_classes, width):
        super().__init__(n_features, n_classes, width)
        self.scale = float(torch.rand(()))
        self.idle = nn.Parameter(torch.zeros(3))

    def forward(self, X):
        return super().forward(X * self.scale)


def test_modules_that_differ_in_more_than_parameters(digits, capsys):
    # Fails if the forward of the first member is run for all.
    data = make_data(digits, 3)
    nets = fit_many(make_nets(3, Drawn, module__width=8), data, fused=True, verbose=1)
    assert "2 nets are fitted one by one: the modules differ" in capsys.readouterr().out
    for net, alone, part in zip(nets, make_nets(3, Drawn, module__width=8), data, strict=True):
        assert_close_or_zero(net, alone.fit(*part))


def assert_close_or_zero(net, other):
    for value, expected in zip(net.module_.parameters(), other.module_.parameters(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4)


def test_a_stacked_net_goes_on_with_its_momentum(digits):
    # Fails if the velocity stays behind in the stack.
    data = make_data(digits, 3)
    options = {"optimizer__momentum": 0.9, "lr": 0.01, "max_epochs": 2}
    nets = fit_many(make_nets(3, **options), data, fused=True)
    for net, alone, part in zip(nets, make_nets(3, **options), data, strict=True):
        alone.fit(*part)
        assert_close(net.partial_fit(*part), alone.partial_fit(*part), 1e-3)


def test_a_failure_leaves_nets_unfitted(digits):
    X, y = digits
    nets = make_nets(3)
    with pytest.raises(ValueError, match="NaN"):
        fit_many(nets, [(X, y), (X, y), (np.full_like(X, np.nan), y)], fused=True)
    assert not any(hasattr(net, "module_") for net in nets)
    assert nets[0].fit(X, y).score(X, y) > 0.1


def test_subclasses_train_in_their_own_way(digits, capsys):
    nets = [Own(MLP, module__width=8, max_epochs=1, random_state=k) for k in range(3)]
    fit_many(nets, make_data(digits, 3), fused=True, verbose=1)
    assert "Own may train in its own way" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kwargs", "n", "reason"),
    [
        ({}, 2, "too few"),
        ({"module__width": 9000}, 4, "too large for the cache"),
        ({"module": Squashing, "module__width": 1024}, 4, "arithmetic dominates"),
        ({"module": MnistConvNet, "module__width": 4, "batch_size": 16}, 3, "convolutions"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="the rule is that of a CPU")
def test_rule_of_sizes(digits, kwargs, n, reason, capsys):
    data = make_data(digits, n)
    if kwargs.get("module") is MnistConvNet:
        data = [(np.resize(X, (32, 784)), np.arange(32) % 10) for X, _ in data]
    nets = make_nets(n, **{"max_epochs": 1, **kwargs})
    fit_many(nets, data, verbose=1)
    assert reason in capsys.readouterr().out
    fit_many([clone(net) for net in nets], data, fused=False, verbose=1)
    assert "`fused` is False" in capsys.readouterr().out


def test_random_state_instances_and_refits(digits):
    data = make_data(digits, 3)
    nets = make_nets(3, max_epochs=1)
    for k, net in enumerate(nets):
        net.set_params(random_state=np.random.RandomState(k))
    alone = [clone(net) for net in nets]
    for _ in range(2):
        fit_many(nets, data, fused=True)
        for net, other, part in zip(nets, alone, data, strict=True):
            assert_close(net, other.fit(*part))
    # A stacked net goes on like any other.
    before = len(nets[0].history_)
    assert len(nets[0].partial_fit(*data[0]).history_) == before + 1


def test_divergence_warns(digits):
    with pytest.warns(ConvergenceWarning, match="training diverged"):
        fit_many(make_nets(3, lr=1e6), make_data(digits, 3), fused=True)


def test_data_that_nets_share_are_held_once(digits):
    nets = fit_many(make_nets(3), [digits] * 3, fused=True)
    for net, alone in zip(nets, make_nets(3), strict=True):
        assert_close(net, alone.fit(*digits))


def test_bad_arguments(digits):
    nets = make_nets(2)
    with pytest.raises(ValueError, match="`data` must have a tuple for each of 2 nets, got 1"):
        fit_many(nets, [digits])
    with pytest.raises(TypeError, match="`nets` must be instances of NetClassifier"):
        fit_many([None], [digits])
    with pytest.raises(ValueError, match="different objects"):
        fit_many([nets[0], nets[0]], [digits] * 2)
    with pytest.raises(ValueError, match="`fused` must be one of 'auto'"):
        fit_many(nets, [digits] * 2, fused="yes")
    with pytest.raises(ValueError, match="one label for each row"):
        fit_many(nets, [digits, (digits[0], digits[1][:5])])


def test_global_generators_are_untouched(digits):
    state = torch.get_rng_state()
    fit_many(make_nets(4), make_data(digits, 4), fused=True)
    assert torch.equal(torch.get_rng_state(), state)
