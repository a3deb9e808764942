"""CUDA computes in full float32, backward too, whichever switches the user has set."""

import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skpoison import CleanLabelPGA, GradientMatching, NetClassifier
from skpoison._switches import full_precision, without_cudnn

pytestmark = pytest.mark.gpu

HAS_NEW = hasattr(torch.backends.cuda.matmul, "fp32_precision")
needs_new = pytest.mark.skipif(not HAS_NEW, reason="torch has these switches since 2.9")


def rounding():
    """The precision of convolutions and of recurrent layers."""
    cudnn = torch.backends.cudnn
    if HAS_NEW:
        return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    return cudnn.allow_tf32, cudnn.allow_tf32


FULL = ("ieee", "ieee") if HAS_NEW else (False, False)
ROUNDED = ("tf32", "tf32") if HAS_NEW else (True, True)

NEW = {
    "everything": lambda value: setattr(torch.backends, "fp32_precision", value),
    "cudnn": lambda value: setattr(torch.backends.cudnn, "fp32_precision", value),
    "conv": lambda value: setattr(torch.backends.cudnn.conv, "fp32_precision", value),
    "rnn": lambda value: setattr(torch.backends.cudnn.rnn, "fp32_precision", value),
    "matmul": lambda value: setattr(torch.backends.cuda.matmul, "fp32_precision", value),
}
OLD = {"cudnn": torch.backends.cudnn, "matmul": torch.backends.cuda.matmul}


def set_new(name, value):
    NEW[name](value)


def set_old(name, value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Torch 2.9 warns.
        OLD[name].allow_tf32 = value


@pytest.fixture
def switches():
    """Sets a user's switches; after the test all amount to what they are in a new process."""
    yield SimpleNamespace(new=set_new, old=set_old)
    set_old("matmul", False)
    if HAS_NEW:
        for name in ("everything", "cudnn", "matmul"):
            set_new(name, "none")
    set_old("cudnn", True)


def answers():
    """What every switch amounts to now, and after each change of a switch that others follow."""
    if not HAS_NEW:
        return [switch.allow_tf32 for switch in OLD.values()]
    found = []
    parts = [torch.backends, torch.backends.cudnn, torch.backends.cuda.matmul]
    parts += [torch.backends.cudnn.conv, torch.backends.cudnn.rnn]
    before = torch.backends.fp32_precision
    for value in (before, "ieee", "tf32", "none", before):
        set_new("everything", value)
        found.append([part.fp32_precision for part in parts])
    for switch in OLD.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found.append(switch.allow_tf32)
            except RuntimeError:  # The user has set the new switches.
                found.append("raises")
    return found


@needs_new
@pytest.mark.parametrize("everything", ["none", "ieee", "tf32"])
@pytest.mark.parametrize("cudnn", ["none", "ieee", "tf32"])
def test_new_switches_are_heeded_and_restored(switches, everything, cudnn):
    # Fails if a switch that raises is read, if recurrent layers are forgotten, or if a switch that
    # followed another no longer does.
    for name in ("conv", "rnn", "matmul"):
        for value in (None, "none", "ieee", "tf32"):
            switches.new("everything", everything)
            switches.new("cudnn", cudnn)
            if value is not None:
                switches.new(name, value)
            before = answers()
            allowed = torch.backends.cuda.matmul.fp32_precision == "tf32"
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with full_precision("cuda:1"):
                    assert rounding() == (ROUNDED if allowed else FULL)
                    matmul = torch.backends.cuda.matmul.fp32_precision
                    assert (matmul == "tf32") == allowed
            assert answers() == before, (name, value)


@pytest.mark.parametrize("cudnn", [None, True, False])
@pytest.mark.parametrize("matmul", [None, True, False])
def test_old_switches_are_heeded_and_restored(switches, cudnn, matmul):
    for name, value in (("cudnn", cudnn), ("matmul", matmul)):
        if value is not None:
            switches.old(name, value)
    before = answers()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with full_precision(torch.device("cuda")):
            assert rounding() == (ROUNDED if matmul else FULL)
    assert answers() == before


@pytest.mark.parametrize("matmul", [True, False])
def test_torch_before_the_new_switches(monkeypatch, matmul):
    # Fails if a switch of torch 2.9 is read on an older torch.
    cudnn = SimpleNamespace(allow_tf32=True)
    cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=matmul))
    monkeypatch.setattr(torch, "backends", SimpleNamespace(cudnn=cudnn, cuda=cuda))
    with full_precision("cuda"):
        assert cudnn.allow_tf32 is matmul
    assert cudnn.allow_tf32 is True


def test_a_cpu_changes_no_switch():
    before = answers()
    with full_precision("cpu"):
        assert answers() == before


def test_an_error_restores_the_switches():
    before = answers()
    with pytest.raises(KeyError), full_precision("cuda"), without_cudnn():
        raise KeyError
    assert answers() == before
    assert torch.backends.cudnn.enabled


def test_threads_that_overlap_hold_the_switches_to_the_last(switches):
    # Fails if the first thread to leave takes full precision from the second, or if the second
    # restores what the first had set.
    before, seen = answers(), []
    steps = [threading.Event() for _ in range(3)]

    def second():
        steps[0].wait(10)
        with full_precision("cuda"), without_cudnn():
            steps[1].set()
            steps[2].wait(10)
            seen.append((rounding(), torch.backends.cudnn.enabled))

    thread = threading.Thread(target=second)
    thread.start()
    with full_precision("cuda"), without_cudnn():
        steps[0].set()
        assert steps[1].wait(10)
    steps[2].set()
    thread.join(10)
    assert seen == [(FULL, False)]
    assert torch.backends.cudnn.enabled
    assert answers() == before


def test_a_user_allows_tf32_between_two_blocks(switches):
    # Fails if the inner block leaves a switch that the outer one had no need to change.
    switches.old("cudnn", False)
    before = rounding()
    with full_precision("cuda"):
        switches.old("matmul", True)
        with full_precision("cuda"):
            assert rounding() == ROUNDED
        switches.old("matmul", False)
    assert rounding() == before


class Note(torch.autograd.Function):
    """Notes whether convolutions round, in each pass."""

    seen: list = []

    @staticmethod
    def forward(ctx, X):
        Note.seen.append(("forward", rounding()))
        return X.clone()

    @staticmethod
    def backward(ctx, gradient):
        Note.seen.append(("backward", rounding()))
        return gradient.clone()


class Convolution(nn.Module):
    input_shape = (1, 8, 8)

    def __init__(self, n_classes=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, n_classes))

    def forward(self, X):
        return self.layers(Note.apply(X))


@pytest.mark.parametrize("kind", ["ascent", "ascent to out", "matching"])
def test_attacks_differentiate_in_full_precision(digits, kind):
    # Fails if only the forward pass is in full precision.
    X, y = digits[0][:40].astype(np.float32), digits[1][:40]
    net = NetClassifier(Convolution, max_epochs=1, device="cuda", random_state=0)
    if kind == "matching":
        attack = GradientMatching(net, (X[:1], y[1:2]), max_iter=1, random_state=0)
    else:
        attack = CleanLabelPGA(net, norm="l2,inf", budget=0.1, clip=None, max_iter=1)
    before = answers()
    Note.seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack.poison(X, y, out=np.empty_like(X) if kind == "ascent to out" else None)
    assert {name for name, _ in Note.seen} == {"forward", "backward"}
    assert {found for _, found in Note.seen} == {FULL}
    assert answers() == before
