"""Torch's switches for deterministic kernels: on in a block for CUDA, and then as they were."""

import itertools
import threading

import pytest
import torch

from skpoison._deterministic import deterministic

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
