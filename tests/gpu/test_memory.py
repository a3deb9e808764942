"""What happens where a GPU has too little memory for all nets, or for one."""

import gc
import re

import numpy as np
import pytest
import torch
from skorch.callbacks import LRScheduler
from torch import nn

from skpoison import MLP, Linear, NetClassifier, fit_many
from skpoison.nets.stacks import _stack

pytestmark = pytest.mark.gpu


def make_nets(n=5, module=MLP, seeds=None, **kwargs):
    kwargs = {"lr": 0.1, "max_epochs": 4, "batch_size": 50, "device": "cuda", **kwargs}
    if module is MLP:
        kwargs["module__width"] = 8
    return [
        NetClassifier(module, random_state=k if seeds is None else seeds, **kwargs)
        for k in range(n)
    ]


def make_data(digits, n=5):
    X, y = digits
    return [(X[k:].copy(), y[k:]) for k in range(n)]


def weights(net):
    return torch.cat([p.detach().cpu().ravel() for p in net.module_.parameters()]).numpy()


def assert_same(nets, others):
    for net, other in zip(nets, others, strict=True):
        for column in ("epoch", "train_loss"):
            np.testing.assert_allclose(
                net.history_[:, column], other.history_[:, column], rtol=1e-4
            )
        np.testing.assert_allclose(weights(net), weights(other), atol=1e-5)


def has_free(monkeypatch, n_bytes):
    """Pretend that the device has so much free memory."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (n_bytes, 2**40))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device=None: 0)


@pytest.fixture
def stacks(monkeypatch):
    """Returns the list of the sizes of all stacks that are trained."""
    sizes = []
    train = _stack.Stack.train
    monkeypatch.setattr(
        _stack.Stack, "train", lambda self: (sizes.append(len(self.members)), train(self))
    )
    return sizes


def steps_fail(monkeypatch, fails):
    """Let a step of a stack run out of memory where `fails(number of nets, number of step)`."""
    step, n_steps = _stack.Stack._step, []

    def failing(self, index, labels, rates):
        n_steps.append(len(index))
        if fails(len(index), len(n_steps)):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return step(self, index, labels, rates)

    monkeypatch.setattr(_stack.Stack, "_step", failing)


def test_stacks_fit_into_the_free_memory(digits, monkeypatch, stacks):
    # Fails if all nets of a kind get into one stack, or if a net depends on where the cut goes.
    data = [digits] * 8
    whole = fit_many(make_nets(8), data, fused=True)
    assert stacks == [8]
    stacks.clear()
    has_free(monkeypatch, 600_000)
    assert_same(fit_many(make_nets(8), data, fused=True), whole)
    assert sum(stacks) == 8
    assert 2 <= max(stacks) <= 4
    stacks.clear()
    has_free(monkeypatch, 1000)
    assert_same(fit_many(make_nets(8), data, fused=True), whole)
    assert stacks == []


def test_nothing_is_left_on_the_device(digits):
    # Fails if what measures the memory of a step keeps its tensors.
    def tensors():
        gc.collect()
        # Some objects answer isinstance with an import, so their type is asked.
        return sum(issubclass(type(x), torch.Tensor) and x.is_cuda for x in gc.get_objects())

    before = tensors()
    for module in (MLP, Linear):
        fit_many(make_nets(3, module, max_epochs=1), [digits] * 3, fused=True)
    assert tensors() == before


def test_data_of_few_nets_are_on_the_device_at_a_time(digits, monkeypatch):
    # Fails if the data of all nets are copied there before the first is trained.
    events = []
    begin, finish = NetClassifier.begin_training, NetClassifier.finish_training

    def begins(self, *args):
        events.append(1)
        return begin(self, *args)

    def ends(self, training):
        events.append(-1)
        return finish(self, training)

    monkeypatch.setattr(NetClassifier, "begin_training", begins)
    monkeypatch.setattr(NetClassifier, "finish_training", ends)
    data = make_data(digits, 8)
    whole = fit_many(make_nets(8), data, fused=True)
    assert max(np.cumsum(events)) == 8
    events.clear()
    has_free(monkeypatch, 4 * 300 * 64 * 4)
    assert_same(fit_many(make_nets(8), data, fused=True), whole)
    assert max(np.cumsum(events)) == 3
    assert sum(events) == 0


OPTIONS = {
    "plain": dict,
    "early stopping": lambda: {"early_stopping": True, "n_iter_no_change": 1, "max_epochs": 8},
    "falling rate": lambda: {"callbacks": [("rate", LRScheduler("StepLR", step_size=1))]},
    "momentum": lambda: {"optimizer__momentum": 0.9},
    "a generator": lambda: {"seeds": np.random.RandomState(0)},
}


def nets_with(options, n=5):
    kwargs = OPTIONS[options]()
    if "callbacks" not in kwargs:
        return make_nets(n, **kwargs)
    return [net for _ in range(n) for net in make_nets(1, **OPTIONS[options]())]


@pytest.mark.parametrize("options", OPTIONS)
def test_halves_of_a_stack_start_anew(digits, monkeypatch, stacks, options):
    # Fails if a net keeps weights, history, rate or generator of the training that broke off.
    data = make_data(digits)
    whole = fit_many(nets_with(options), data, fused=True)
    assert stacks == [5]
    stacks.clear()
    steps_fail(monkeypatch, lambda n_nets, step: n_nets > 2 and step > 8)
    assert_same(fit_many(nets_with(options), data, fused=True), whole)
    assert stacks[0] == 5
    assert len(stacks) > 2


def test_a_net_without_room_in_any_stack_is_fitted_alone(digits, monkeypatch, capsys):
    # Fails if a net with memory enough for itself is given up, or becomes another net.
    data = make_data(digits, 3)
    whole = fit_many(nets_with("early stopping", 3), data, fused=True)
    steps_fail(monkeypatch, lambda n_nets, step: n_nets == 1 or step > 8)
    assert_same(fit_many(nets_with("early stopping", 3), data, fused=True, verbose=1), whole)
    assert "nets are fitted one by one: the memory of the GPU" in capsys.readouterr().out


class Hungry(nn.Module):
    """Needs more memory than there is for more than `rows` rows."""

    def __init__(self, n_features, n_classes, width=7, rows=10):
        super().__init__()
        self.rows = rows
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, X):
        if len(X) > self.rows:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return self.layer(X)


@pytest.mark.parametrize("many", [False, True])
def test_without_memory_for_one_net_an_error_says_what_to_reduce(digits, many):
    # Fails if torch's own message is all, or if a net is left half trained.
    kwargs = {"module__width": 7, "module__rows": 20}
    nets = make_nets(3, Hungry, **kwargs)
    before = [dict(vars(net)) for net in nets]
    sizes = ["`batch_size` (now 50)", "`module__width` (now 7)", "`module__rows` (now 20)"]
    words = re.escape(f"lower {' or '.join(sizes)}, or give fewer rows")
    fit = [lambda: nets[0].fit(*digits), lambda: fit_many(nets, make_data(digits, 3), fused=True)]
    with pytest.raises(torch.cuda.OutOfMemoryError, match=words) as error:
        fit[many]()
    assert "Tried to allocate 9 GiB" in str(error.value)
    assert [vars(net).keys() for net in nets] == [state.keys() for state in before]


def test_data_that_do_not_fit_are_named(digits, monkeypatch):
    # Fails if only steps are told of in words.
    def refuse(self, *args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(NetClassifier, "_make_dataset", refuse)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="or give fewer rows"):
        NetClassifier(Linear, device="cuda").fit(*digits)
