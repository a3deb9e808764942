"""Steps of SGD written out for chains of layers: those that autograd and torch's SGD take."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from skorch.callbacks import Callback, Checkpoint, LRScheduler, TrainEndCheckpoint
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from skpoison import MLP, Linear, MnistConvNet, NetClassifier, fit_many
from skpoison.nets._linear_chains import descend, layers_of, linear_chain_of
from skpoison.nets.stacks import _rules, _stack


def make_chain(sizes, rectified, biased):
    layers = [nn.Flatten()]
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(fan_in, fan_out, bias=biased[k]))
        if rectified[k] and k < len(sizes) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers).double()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    rectified=st.lists(st.booleans(), min_size=4, max_size=4),
    biased=st.lists(st.booleans(), min_size=4, max_size=4),
    n_nets=st.integers(1, 4),
    n_rows=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_a_step_is_the_step_of_autograd(sizes, rectified, biased, n_nets, n_rows, seed):
    generator = torch.Generator().manual_seed(seed)
    nets = [make_chain(sizes, rectified, biased) for _ in range(n_nets)]
    X = torch.randn(n_nets, n_rows, sizes[0], generator=generator, dtype=torch.float64)
    labels = torch.randint(sizes[-1], (n_nets, n_rows), generator=generator)
    rates = torch.rand(n_nets, generator=generator, dtype=torch.float64)
    chain = linear_chain_of(nets[0], (sizes[0],))
    stacked = {
        name: torch.stack([net.get_parameter(name).detach() for net in nets])
        for name, _ in nets[0].named_parameters()
    }
    shares = (rates / n_rows).view(-1, 1, 1)
    before = X.clone()
    losses = descend(layers_of(chain, stacked), X, labels.unsqueeze(1), shares)
    assert torch.equal(X, before)
    for k, net in enumerate(nets):
        optimizer = torch.optim.SGD(net.parameters(), lr=float(rates[k]))
        loss = nn.functional.cross_entropy(net(X[k]), labels[k])
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(losses[k], loss.detach())
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(stacked[name][k], parameter.detach())


def hooked(kind):
    module = MLP(4, 3, width=5)
    target = module.layers[1]
    if kind == "tensor":
        target.weight.register_hook(lambda gradient: gradient * 0)
    elif kind == "accumulate":
        target.weight.register_post_accumulate_grad_hook(lambda parameter: None)
    elif kind == "whole":
        module.register_forward_hook(lambda *args: None)
    else:
        target.register_forward_hook(lambda *args: args[2] * 2)
    return module


def frozen():
    module = MLP(4, 3, width=5)
    module.layers[1].weight.requires_grad_(False)
    return module


def tied():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer)


def tied_weights():
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    return nn.Sequential(a, nn.ReLU(), b)


class Own(nn.Linear):
    pass


class OwnForward(MLP):
    def forward(self, X):
        return 2 * super().forward(X)


@pytest.mark.parametrize(
    "module",
    [
        *(hooked(kind) for kind in ("tensor", "accumulate", "whole", "layer")),
        frozen(),
        tied(),
        tied_weights(),
        nn.Sequential(Own(4, 3)),
        nn.Sequential(nn.Linear(4, 3), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)),
        nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 3)),
        nn.Sequential(nn.Flatten(2), nn.Linear(4, 3)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))),
        nn.Sequential(nn.Flatten()),
        OwnForward(4, 3),
        MnistConvNet(4),
        nn.Linear(4, 3).requires_grad_(False),
    ],
    ids=repr,
)
def test_what_may_do_something_else_is_no_chain(module):
    assert linear_chain_of(module, (4,)) is None


def test_what_is_a_chain():
    assert linear_chain_of(MLP(4, 3, depth=2), (2, 2)) == [
        ("layers.1.weight", "layers.1.bias", True),
        ("layers.3.weight", "layers.3.bias", True),
        ("layers.5.weight", "layers.5.bias", False),
    ]
    assert linear_chain_of(Linear(4, 3), (4,)) == [("layers.1.weight", "layers.1.bias", False)]
    assert linear_chain_of(nn.Linear(4, 3), (4,)) == [("weight", "bias", False)]
    # Without Flatten a linear layer maps the last axis only.
    assert linear_chain_of(nn.Linear(4, 3), (2, 4)) is None


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer__momentum": 0.5},
        {"optimizer__weight_decay": 0.1},
        {"optimizer__maximize": True, "lr": 1e-3},
        {"criterion__label_smoothing": 0.2},
        {"criterion__reduction": "sum", "lr": 1e-4},
        {"criterion__weight": torch.arange(1.0, 11)},
        {"optimizer__param_groups": [("layers.1.*", {"lr": 0.01})]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_steps_are_left_to_torch(digits, options):
    # Fails if a chain takes steps that know nothing of the option.
    class Plain(OwnForward):
        def forward(self, X):
            return super(OwnForward, self).forward(X)

    nets = [
        NetClassifier(module, max_epochs=2, random_state=0, **options).fit(*digits)
        for module in (MLP, Plain)
    ]
    for a, b in zip(*(net.module_.parameters() for net in nets), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_group_too_large_for_the_cache_is_cut(digits, monkeypatch):
    # What a net becomes does not depend on where the cut goes.
    data = [(digits[0][: 300 - k], digits[1][: 300 - k]) for k in (0, 40, 80, 0, 120, 40, 0)]

    def fit():
        nets = [NetClassifier(MLP, max_epochs=2, batch_size=40, random_state=k) for k in range(7)]
        return fit_many(nets, data, fused=True)

    whole = fit()
    sizes = []
    monkeypatch.setattr(_rules, "MAX_NUMBERS", 70_000)
    train = _stack.Stack.train
    monkeypatch.setattr(
        _stack.Stack, "train", lambda stack: (sizes.append(len(stack.members)), train(stack))
    )
    for a, b in zip(whole, fit(), strict=True):
        assert all(map(torch.equal, a.module_.parameters(), b.module_.parameters()))
    assert sum(sizes) == 7
    assert 1 < max(sizes) <= 4


def test_a_dataset_is_fitted_alone(digits, capsys):
    from skorch.dataset import Dataset

    rows, codes = torch.tensor(digits[0], dtype=torch.float32), torch.tensor(digits[1])
    kwargs = {"module__n_features": 64, "module__n_classes": 10, "random_state": 0}
    nets = [NetClassifier(MLP, max_epochs=1, **kwargs) for _ in range(3)]
    fit_many(nets, [(Dataset(rows, codes),)] * 3, verbose=1)
    assert "one by one: the data are a Dataset" in capsys.readouterr().out
    np.testing.assert_array_equal(nets[0].predict(digits[0]), nets[2].predict(digits[0]))


class HeadOnly(NetClassifier):
    def get_all_learnable_params(self):
        return [pair for pair in super().get_all_learnable_params() if "layers.3" in pair[0]]


class Reader(Callback):
    def on_epoch_end(self, net, **kwargs):
        self.slope = max(float(p.grad.abs().max()) for p in net.module_.parameters())


class Decaying(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.optimizer_.param_groups[0]["weight_decay"] = 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"criterion__ignore_index": 3},
        {"callbacks": [Decaying()]},
        {"callbacks": [("rate", LRScheduler(OneCycleLR, max_lr=0.5, total_steps=4))]},
        {"callbacks": [("rate", LRScheduler("CyclicLR", base_lr=0.1, max_lr=0.5))]},
        {"callbacks": [("rate", LRScheduler("StepLR", step_size=1))]},
        {"callbacks__print_log": Decaying()},
    ],
    ids=["criterion", "own callback", "one cycle", "cycles", "steps", "own log"],
)
def test_what_is_set_while_it_trains_is_heeded(digits, options):
    # Fails if the first epoch settles which steps are taken, or if one net speaks for a stack.
    class Plain(OwnForward):
        def forward(self, X):
            return super(OwnForward, self).forward(X)

    def make(module):
        return NetClassifier(module, max_epochs=4, lr=0.2, random_state=0, **options)

    stacked = fit_many([clone(make(MLP)) for _ in range(3)], [digits] * 3, fused=True)
    alone, plain = make(MLP).fit(*digits), clone(make(Plain)).fit(*digits)
    for net in (alone, *stacked):
        for a, b in zip(net.module_.parameters(), plain.module_.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_subclass_may_train_some_parameters_only(digits):
    net = HeadOnly(MLP, max_epochs=2, random_state=0).fit(*digits)
    first = HeadOnly(MLP, max_epochs=1, random_state=0, lr=0.0).fit(*digits)
    layers = zip(net.module_.parameters(), first.module_.parameters(), strict=True)
    assert [torch.equal(a, b) for a, b in layers] == [True, True, False, False]


def test_gradients_are_there_for_who_reads_them(digits):
    reader = Reader()
    net = NetClassifier(MLP, max_epochs=2, callbacks=[("reader", reader)]).fit(*digits)
    assert dict(net.callbacks_)["reader"].slope > 0


def test_checkpoints(digits, tmp_path):
    # skorch's look at the last batch of the history.
    kwargs = {"max_epochs": 3, "random_state": 0}
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=tmp_path)
    nets = [
        NetClassifier(MLP, callbacks=[checkpoint, TrainEndCheckpoint(dirname=tmp_path)], **kwargs)
        for _ in range(3)
    ]
    for net in (nets[0].fit(*digits), *fit_many(nets[1:], [digits] * 2, fused=True)):
        assert len(net.history_[-1, "batches"]) == 2
    assert len(list(tmp_path.iterdir())) >= 4


def test_a_group_that_fails_leaves_fitted_nets_fitted(digits):
    nets = [NetClassifier(MLP, max_epochs=1, random_state=k).fit(*digits) for k in range(3)]
    before = [net.predict_proba(digits[0]) for net in nets]
    bad = np.full_like(digits[0], np.nan)
    with pytest.raises(ValueError, match="NaN"):
        fit_many(nets, [digits, digits, (bad, digits[1])], fused=True)
    for net, proba in zip(nets, before, strict=True):
        np.testing.assert_array_equal(net.predict_proba(digits[0]), proba)


def test_hooks_of_all_modules_are_called(digits):
    # Fails if a chain that is written out passes them by.
    calls = []
    handle = nn.modules.module.register_module_forward_hook(lambda *args: calls.append(args))
    try:
        NetClassifier(MLP, module__width=4, max_epochs=1, random_state=0).fit(*digits)
    finally:
        handle.remove()
    assert calls
