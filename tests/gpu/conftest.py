"""What tests on a GPU share; each works on a real one and on the pretend one."""

import contextlib
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
import torch

# To import it for doctests would change torch in this process.
collect_ignore = ["pretend_cuda"]
COPIES = ("to_host", "to_device")


def pretending():
    """Whether this process has the pretend GPU."""
    return "pretend_cuda.device" in sys.modules


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """A test leaves the current device, its stream and the check of synchronisation as it was."""
    yield
    if torch.cuda.is_available():
        assert torch.cuda.current_device() == 0
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
        assert torch.cuda.get_sync_debug_mode() == 0


@dataclass
class Transfers:
    """Copies between the CPU and the device: to the host also where Python reads a number."""

    to_host: int = 0
    to_device: int = 0
    # (kind, "file:line") to a number, on the pretend GPU only
    by_line: dict = field(default_factory=dict)


@contextlib.contextmanager
def _count_pretended():
    from pretend_cuda import counting

    count = Transfers()
    before = Counter(counting.LOG)
    yield count
    count.by_line = {key: n for key, n in (counting.LOG - before).items() if key[0] in COPIES}
    for kind in COPIES:
        setattr(count, kind, sum(n for (k, _), n in count.by_line.items() if k == kind))


@contextlib.contextmanager
def _count_profiled():
    from torch.profiler import ProfilerActivity, profile

    count = Transfers()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        yield count
        torch.cuda.synchronize()
    names = [event.name for event in profiler.events()]
    count.to_host = sum(name.startswith("Memcpy DtoH") for name in names)
    count.to_device = sum(name.startswith("Memcpy HtoD") for name in names)


@pytest.fixture
def transfers():
    """``with transfers() as count:``; after the block, the number of copies in it."""
    return _count_pretended if pretending() else _count_profiled


@contextlib.contextmanager
def _no_sync():
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.fixture
def no_sync():
    """In ``with no_sync():``, an operation that makes the CPU wait for the device raises."""
    return _no_sync


@pytest.fixture
def second_device():
    """A device beside the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    return "cuda:1"
