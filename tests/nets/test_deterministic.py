"""Torch's switches for deterministic kernels: on in a block for CUDA, and then as they were."""

import itertools
import os
import threading

import pytest
import torch
from torch.torch_version import TorchVersion

from skpoison._deterministic import _prepare_products, deterministic

# No test computes on CUDA: the switches exist without it too.


def switches():
    return (
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def switch(mode, benchmark, fills_memory):
    torch.set_deterministic_debug_mode(mode)
    torch.backends.cudnn.benchmark = benchmark
    torch.utils.deterministic.fill_uninitialized_memory = fills_memory


@pytest.fixture(params=list(itertools.product([0, 1, 2], [False, True], [False, True])))
def before(request):
    """Each of the settings that a user may have."""
    own = switches()
    switch(*request.param)
    yield request.param
    switch(*own)


def fail_in_blocks(mode, _, fills_memory):
    with deterministic("cuda:1"):
        for device in ("cuda", torch.device("cuda"), "cpu"):
            with deterministic(device):
                assert switches() == (mode or 1, False, fills_memory if mode else False)
            assert switches()[:2] == (mode or 1, False)
        raise KeyError


def test_a_block_is_deterministic_and_puts_the_switches_back(before):
    # Fails if a mode of the user's own is weakened, or a block, nested or failed, leaves a trace.
    with pytest.raises(KeyError):
        fail_in_blocks(*before)
    assert switches() == before


def test_other_devices_change_nothing(before):
    for device in ("cpu", "meta", "mps"):
        with deterministic(device):
            assert switches() == before


def test_the_last_of_several_threads_puts_the_switches_back():
    # Fails if a thread that leaves early switches off what another thread still computes with.
    own, inside = switches(), []
    entered, left = threading.Barrier(2), threading.Event()

    def stay():
        with deterministic("cuda"):
            entered.wait(10)
            left.wait(10)
            inside.append(switches())

    thread = threading.Thread(target=stay)
    with deterministic("cuda"):
        thread.start()
        entered.wait(10)
    left.set()
    thread.join()
    assert inside[0][:2] == (1, False)
    assert switches() == own


@pytest.mark.parametrize(
    ("version", "cuda", "given", "expected"),
    [
        ("2.9.1+cu126", "12.6", None, ":4096:8"),
        ("2.4.0", "12.1", ":16:8", ":16:8"),
        ("2.10.0+cu128", "12.8", None, None),
        ("2.9.1+cpu", None, None, None),
    ],
)
def test_older_torch_takes_products_for_deterministic(monkeypatch, version, cuda, given, expected):
    # Fails if such a torch warns at each matrix product on a GPU, or a user's setting is lost.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given or "")
    if given is None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    monkeypatch.setattr(torch.version, "cuda", cuda)
    _prepare_products()
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == expected
