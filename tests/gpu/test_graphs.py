"""Steps of a stack that are captured as CUDA graphs are the steps that they replace."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from skpoison import MLP, NetClassifier, fit_many
from skpoison.nets.stacks import _graphs, _stack

pytestmark = pytest.mark.gpu


class Own(nn.Module):
    """No chain of linear layers: autograd and vmap take its steps."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first = nn.Linear(n_features, 8, bias=False)
        self.last = nn.Linear(8, n_classes)

    def forward(self, X):
        # At 0 the gradient of the root is infinite.
        return self.last(self.first(X).square().sqrt())


class Constant(Own):
    """Copies a tensor to the device in each step."""

    shift = torch.ones(64)

    def forward(self, X):
        return super().forward(X + self.shift.to(X.device))


def fit(digits, n=4, module=MLP, sizes=(300, 200), first=None, **kwargs):
    """Fit n nets of one kind on the first rows of the digits; `first` replaces row 0 of net 0."""
    X, y = (np.array(part) for part in digits)
    kwargs = {"lr": 0.05, "max_epochs": 4, "batch_size": 50, "device": "cuda", **kwargs}
    if module is MLP:
        kwargs["module__width"] = 8
    nets = [NetClassifier(module, random_state=seed, **kwargs) for seed in range(n)]
    data = [(X[: sizes[k % len(sizes)]].copy(), y[: sizes[k % len(sizes)]]) for k in range(n)]
    if first is not None:
        data[0][0][0] = first
    return fit_many(nets, data, fused=True)


def weights(net):
    return torch.cat([p.detach().cpu().ravel() for p in net.module_.parameters()]).numpy()


def assert_same(nets, others):
    for net, other in zip(nets, others, strict=True):
        assert len(net.history_) == len(other.history_)
        np.testing.assert_allclose(weights(net), weights(other), atol=1e-5)


@pytest.fixture
def captures(monkeypatch):
    """Capture after two steps; returns a list of (size, pool) of each graph."""
    seen = []
    monkeypatch.setattr(_graphs, "MIN_STEPS", 2)
    init = _graphs.GraphedStep.__init__

    def noted(self, step, inputs, changed, pool=None):
        init(self, step, inputs, changed, pool)
        seen.append((len(inputs[0]), self.pool))

    monkeypatch.setattr(_graphs.GraphedStep, "__init__", noted)
    return seen


def without_graphs(monkeypatch, *args, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr(_graphs, "MIN_STEPS", 10**9)
        return fit(*args, **kwargs)


@pytest.mark.parametrize("module", [MLP, Own])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": True, "n_iter_no_change": 1, "max_epochs": 6},
        {"optimizer__momentum": 0.9, "optimizer__dampening": 0.1, "optimizer__weight_decay": 0.1},
    ],
    ids=["plain", "members leave", "momentum"],
)
def test_graphs_take_the_steps_that_they_replace(digits, monkeypatch, captures, module, options):
    # Fails if a capture changes weights or momentum, or a graph writes to old tensors.
    plain = without_graphs(monkeypatch, digits, module=module, **options)
    assert not captures
    assert_same(fit(digits, module=module, **options), plain)
    assert captures
    if "early_stopping" in options:
        assert len({len(net.history_) for net in plain}) > 1


def test_a_stack_on_another_device_than_the_current_one_is_trained(
    digits, monkeypatch, captures, second_device
):
    # Fails if streams and captures follow the current device: the graph is then empty.
    assert torch.cuda.current_device() == 0
    plain = without_graphs(monkeypatch, digits)
    assert_same(fit(digits, device=second_device), plain)
    assert captures
    assert torch.cuda.current_device() == 0


@pytest.mark.filterwarnings("ignore:The training loss is nan")
def test_a_capture_does_no_harm_where_gradients_are_infinite(digits, monkeypatch, captures):
    # Fails if the warm-up gives a net a row that it never sees: a rate of 0 times infinity is NaN.
    nets = fit(digits, module=Own, first=np.zeros(64), sizes=(300,))
    plain = without_graphs(monkeypatch, digits, module=Own, first=np.zeros(64), sizes=(300,))
    assert captures
    assert not np.isfinite(weights(nets[0])).all()
    assert all(np.isfinite(weights(net)).all() for net in nets[1:])
    assert_same(nets[1:], plain[1:])


def is_sound():
    """Whether torch is on its ordinary stream, and draws numbers on the device."""
    torch.rand(3, device="cuda")
    return torch.cuda.current_stream() == torch.cuda.default_stream()


def test_steps_that_wait_for_the_gpu_are_not_captured(digits, monkeypatch, captures):
    # Fails if a capture is tried: it would leave torch on its stream, with a generator stuck.
    plain = without_graphs(monkeypatch, digits, module=Constant)
    with pytest.warns(RuntimeWarning, match="not captured as a CUDA graph"):
        nets = fit(digits, module=Constant)
    assert not captures
    assert_same(nets, plain)
    assert is_sound()


@pytest.mark.parametrize(
    ("waits", "operation"),
    [
        (True, lambda x: x.sum().item()),
        (True, lambda x: x[x > 0]),
        (True, lambda x: x.index_put_((x > 0,), x.sum())),
        (True, lambda x: x.nonzero()),
        (True, lambda x: torch.equal(x, x)),
        (True, lambda x: x + torch.tensor([1.0, 2, 3, 4], device=x.device)),
        (True, lambda x: x.cpu()),
        (True, lambda x: x[torch.tensor([0, 2])]),
        (False, lambda x: x * torch.tensor(2.0)),
        (False, lambda x: x[x.argsort()]),
        (False, lambda x: x.masked_fill_(x > 0, 1.0)),
        (False, lambda x: torch.where(x > 0, x, x.new_full((4,), 2.0))),
        (False, lambda x: torch.arange(4).sum().item()),
    ],
)
def test_what_waits_for_the_gpu_is_found(waits, operation):
    # Fails if an operation that a graph cannot hold passes, or one that it can hold is refused.
    with _graphs.WaitWatch() as watch:
        operation(torch.arange(4.0, device="cuda") - 2)
    assert (watch.found is not None) == waits


def steps_on(tensor, inner=lambda: None):
    """A step that adds its inputs to a tensor, and calls `inner` while it is captured."""

    def step(amount):
        tensor.add_(amount)
        if torch.cuda.is_current_stream_capturing():
            inner()
        return amount * 2

    return step


def test_an_error_in_a_capture_is_not_swallowed():
    # Fails if it becomes a warning, or torch stays on the stream of the capture.
    def fail():
        raise torch.cuda.OutOfMemoryError("no room")

    total = torch.zeros(2, device="cuda")
    with pytest.raises(torch.cuda.OutOfMemoryError, match="no room"):
        _graphs.GraphedStep(steps_on(total, fail), (torch.ones(2, device="cuda"),), [total])
    assert is_sound()


class Elsewhere(_graphs.GraphedStep):
    """Captures while the steps run elsewhere."""

    def _capture(self, step, pool, stream):
        super()._capture(lambda amount: self.losses, pool, stream)


def test_too_little_memory_in_a_capture_is_told_as_such(monkeypatch):
    # Seen to fail where the error that ends the capture hides it: no stack would be halved.
    leave = torch.cuda.graph.__exit__

    def end(self, *error):
        leave(self, *error)
        raise RuntimeError("the capture was invalidated")

    def fail():
        raise torch.cuda.OutOfMemoryError("no room")

    monkeypatch.setattr(torch.cuda.graph, "__exit__", end)
    total = torch.zeros(2, device="cuda")
    with pytest.raises(torch.cuda.OutOfMemoryError, match="no room"):
        _graphs.GraphedStep(steps_on(total, fail), (torch.ones(2, device="cuda"),), [total])


def test_a_graph_without_the_step_is_refused():
    # Fails if a graph that does nothing takes the place of training steps.
    total, ones = torch.zeros(2, device="cuda"), torch.ones(2, device="cuda")
    with pytest.raises(RuntimeError, match="CUDA graph of a training step on cuda:0 is empty"):
        Elsewhere(steps_on(total), (ones,), [total])


def test_other_threads_may_use_the_device_during_a_capture():
    # Fails if the capture forbids other threads to wait for the device and to allocate memory.
    found = []

    def look():
        found.append(torch.full((5,), 3.0, device="cuda").sum().item())

    def meanwhile():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    total = torch.zeros(2, device="cuda")
    ones = torch.ones(2, device="cuda")
    graph = _graphs.GraphedStep(steps_on(total, meanwhile), (ones,), [total])
    assert found == [15.0]
    assert total.tolist() == [0.0, 0.0]
    assert graph(ones + 1).tolist() == [4.0, 4.0]
    assert total.tolist() == [2.0, 2.0]


def test_two_threads_that_capture_at_once(digits, monkeypatch, captures):
    # Fails if two captures overlap, or one records the steps of the other.
    plain = without_graphs(monkeypatch, digits)
    under_way, most, results = [], [], {}
    capture = _graphs.GraphedStep._capture

    def slow(self, *args):
        under_way.append(self)
        time.sleep(0.05)
        most.append(len(under_way))
        capture(self, *args)
        under_way.remove(self)

    monkeypatch.setattr(_graphs.GraphedStep, "_capture", slow)
    threads = [
        threading.Thread(target=lambda k=k: results.setdefault(k, fit(digits))) for k in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) > 2
    assert max(most) == 1
    for nets in results.values():
        assert_same(nets, plain)
    assert len(results) == 2


def test_only_sizes_of_many_steps_are_captured(digits, monkeypatch, captures):
    # Fails if each number of nets that still have a batch gets a graph and memory of its own.
    sizes = [50, 100, 150, 200, 250, 300]  # 1 to 6 batches: one step an epoch for each number
    plain = without_graphs(monkeypatch, digits, n=6, sizes=sizes)
    assert_same(fit(digits, n=6, sizes=sizes, max_epochs=4), plain)
    assert sorted(size for size, _ in captures) == [1, 2, 3, 4, 5, 6]
    assert len({pool for _, pool in captures}) == 1
    captures.clear()
    monkeypatch.setattr(_graphs, "MAX_GRAPHS", 2)
    assert_same(fit(digits, n=6, sizes=sizes, max_epochs=4), plain)
    assert len(captures) == 2
    captures.clear()
    monkeypatch.setattr(_graphs, "MIN_STEPS", 4)
    fit(digits, n=6, sizes=sizes, max_epochs=4)
    assert not captures


def test_nothing_of_a_stack_is_left(digits, monkeypatch, captures):
    # Fails if a graph and its stack refer to each other: the memory of both would stay in use.
    stacks = []
    train = _stack.Stack.train
    monkeypatch.setattr(
        _stack.Stack, "train", lambda self: (stacks.append(weakref.ref(self)), train(self))[1]
    )
    gc.collect()
    gc.disable()
    try:
        fit(digits)
    finally:
        gc.enable()
    assert captures
    assert [stack() for stack in stacks] == [None]
