"""Import this, and torch has CUDA: ``python -m pytest -p pretend_cuda.device``.

It changes torch for the rest of the process.
"""

from . import compiled  # first: before torch is imported

# isort: split
import copy
import gc
import os
from collections import OrderedDict

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from . import counting, graphs, pickling, random_numbers, workers
from .devices import canonical

NAME = "pretend"
MEMORY = 8 * 2**30

aten = torch.ops.aten

READS_A_NUMBER = {aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default}
# The size of the result depends on values.
READS_A_SIZE = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten._unique.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
}
TAKES_INDICES = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
CONVOLUTIONS = {aten.convolution.default: "forward", aten.convolution_backward.default: "backward"}


class CudaTensor(torch.Tensor):
    """Says that it lies on a CUDA device, and keeps its values in `inner`, a tensor of the CPU."""

    @staticmethod
    def __new__(cls, inner, device):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        self = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device=device, **layout
        )
        self.inner = inner
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    # With these two, Module.to swaps parameters instead of writing to their data.
    def __tensor_flatten__(self):
        return ["inner"], self.device

    @staticmethod
    def __tensor_unflatten__(parts, device, size, stride):
        return CudaTensor(parts["inner"], device)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def __repr__(self, **kwargs):
        return f"{self.inner!r} on {self.device}"

    def __format__(self, spec):
        return format(self.item() if self.dim() == 0 else repr(self), spec)

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, **kwargs):
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user support deepcopy")
        new = CudaTensor(copy.deepcopy(self.inner, memo), self.device)
        new.requires_grad_(self.requires_grad)
        new._is_param = isinstance(self, torch.nn.Parameter)
        memo[id(self)] = new
        return new

    def __reduce_ex__(self, protocol):
        # As a tensor of the CPU, whose storage says that it lies on the device.
        if isinstance(self, torch.nn.Parameter):
            data = CudaTensor(self.inner, self.device)
            return torch._utils._rebuild_parameter, (data, self.requires_grad, OrderedDict())
        self.inner.untyped_storage().pretends = str(self.device)
        function, arguments = self.inner.__reduce_ex__(protocol)[:2]
        arguments = list(arguments)
        arguments[4] = self.requires_grad
        return function, tuple(arguments)


def run(func, args, kwargs):
    """Run an operation as a GPU would, on what the tensors keep on the CPU."""
    leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [leaf for leaf in leaves if isinstance(leaf, CudaTensor)]
    target = kwargs.get("device")
    to_cuda = target is not None and torch.device(target).type == "cuda"
    seeded = torch.Tag.nondeterministic_seeded in func.tags
    if not there and not to_cuda:
        if not seeded:
            return func(*args, **kwargs)
        return draw(func, args, kwargs, None)
    refuse_in_a_fork()
    if func is aten._pin_memory.default:
        raise RuntimeError("cannot pin a CUDA tensor: only dense CPU tensors can be pinned")
    if func is aten._to_copy.default:
        return convert(*args, **kwargs)
    if func is aten.copy_.default:
        return copy_to(*args, **kwargs)
    device = device_of_result(func, args, leaves, there, canonical(target) if to_cuda else target)
    if func in READS_A_NUMBER:
        counting.note("to_host", "a number")
        return func(*inner(args), **inner(kwargs))
    if func in READS_A_SIZE or (
        func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None
    ):
        counting.note("to_host", "a size")
    if func in CONVOLUTIONS:
        counting.note_convolution(CONVOLUTIONS[func])
    kwargs = {key: value for key, value in inner(kwargs).items() if key != "pin_memory"}
    if "device" in kwargs:
        kwargs["device"] = torch.device("cpu")
    plain = inner(args)
    graphs.before(func, plain, device)
    out = draw(func, plain, kwargs, device) if seeded else func(*plain, **kwargs)
    if device is None:
        return out
    graphs.after(func, plain, kwargs, out, device)
    out = tree_map_only(torch.Tensor, lambda tensor: CudaTensor(tensor, device), out)
    return return_and_correct_aliasing(func, args, kwargs, out) if there else out


_process = os.getpid()


def refuse_in_a_fork():
    if os.getpid() != _process:
        raise RuntimeError(
            "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you "
            "must use the 'spawn' start method"
        )


def inner(tree):
    return tree_map_only(CudaTensor, lambda tensor: tensor.inner, tree)


def draw(func, args, kwargs, device):
    """Run an operation that draws random numbers."""
    generator = kwargs.get("generator")
    random_numbers.check_device(generator, device)
    if generator is not None:
        return func(*args, **kwargs)
    if device is not None and graphs.of_current_stream(device) is None:
        # A capture holds the generator of its device until it has ended without an error.
        if device.index in random_numbers.stuck or graphs.any_on(device):
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
    with random_numbers.drawn_from(device):
        return func(*args, **kwargs)


def convert(source, *, device=None, dtype=None, non_blocking=False, **kwargs):
    """``Tensor.to`` where it copies."""
    source_device = source.device
    device = source_device if device is None else torch.device(device)
    kwargs.pop("pin_memory", None)
    plain = inner(source)
    if device.type == "cpu":
        counting.note("to_host", "copy to the CPU", waits=not non_blocking)
        return aten._to_copy.default(plain, dtype=dtype, **kwargs)
    device = canonical(device)
    if source_device.type == "cpu":
        counting.note("to_device", "copy from the CPU", waits=not non_blocking)
    kwargs["dtype"] = dtype
    out = aten._to_copy.default(plain, **kwargs)
    graphs.after(aten._to_copy.default, (plain,), kwargs, out, device)
    return CudaTensor(out, device)


def copy_to(to, source, non_blocking=False):
    """``Tensor.copy_``."""
    if to.device.type != source.device.type:
        kind = "to_device" if to.device.type == "cuda" else "to_host"
        counting.note(kind, "copy", waits=not non_blocking)
    device = to.device if to.device.type == "cuda" else None
    plain = inner((to, source))
    graphs.before(aten.copy_.default, plain, device)
    aten.copy_.default(*plain)
    graphs.after(aten.copy_.default, plain, {}, None, device)
    return to


def device_of_result(func, args, leaves, there, target):
    """Where an operation runs; refuses tensors of two devices. None is the CPU."""
    elsewhere = [leaf for leaf in leaves if not isinstance(leaf, CudaTensor) and leaf.ndim]
    if func in TAKES_INDICES:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype == torch.bool for index in indices) and not fills(args):
            counting.note("to_host", "a size")
        if any(not isinstance(index, CudaTensor) for index in indices):
            counting.note("to_device", "indices")
        elsewhere = [leaf for leaf in elsewhere if all(leaf is not index for index in indices)]
    devices = {leaf.device for leaf in there}
    if len(devices) > 1 or (there and elsewhere):
        found = sorted(map(str, devices | {leaf.device for leaf in elsewhere}))
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{' and '.join(found)}! ({func})"
        )
    if target is not None:
        return target if target.type == "cuda" else None
    return devices.pop()


def fills(args):
    """Whether an assignment at a mask is a fill with a number, which needs no size."""
    return len(args) > 2 and args[2].numel() == 1 and not isinstance(args[2], CudaTensor)


class PretendMode(TorchDispatchMode):
    """Sees operations without tensors too, such as torch.zeros; each thread needs its own."""

    def __enter__(self):
        # So that torch.tensor makes its result on the CPU and copies it: a switch of the thread.
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # else torch imports its compiler, for seconds

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def memory_allocated(device=None):
    index = canonical("cuda" if device is None else device).index
    tensors = [t for t in gc.get_objects() if type(t) is CudaTensor and t.device.index == index]
    storages = {t.inner.untyped_storage().data_ptr(): t.inner.untyped_storage() for t in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def synchronize(device=None):
    counting.note("synchronize", "synchronize")


PATCHES = {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "_lazy_init": lambda: None,
    "device_count": lambda: compiled.DEVICE_COUNT,
    "current_device": compiled.current_device,
    "set_device": lambda device: compiled.set_device(canonical(device).index),
    "device": graphs.Device,
    "get_device_name": lambda device=None: NAME,
    "get_device_capability": lambda device=None: (9, 0),
    "synchronize": synchronize,
    "empty_cache": lambda: None,
    "mem_get_info": lambda device=None: (MEMORY - memory_allocated(device), MEMORY),
    "memory_allocated": memory_allocated,
    "memory_reserved": memory_allocated,
    "get_sync_debug_mode": counting.get_sync_debug_mode,
    "set_sync_debug_mode": counting.set_sync_debug_mode,
    "Stream": graphs.Stream,
    "StreamContext": graphs.StreamContext,
    "stream": graphs.StreamContext,
    "set_stream": graphs.set_stream,
    "current_stream": graphs.current_stream,
    "default_stream": graphs.default_stream,
    "CUDAGraph": graphs.CUDAGraph,
    "graph": graphs.Capture,
    "graph_pool_handle": object,
    "is_current_stream_capturing": graphs.is_current_stream_capturing,
    "default_generators": random_numbers.DEFAULT,
}


def pytest_runtest_logfinish():
    """A hook of pytest: what a test has left behind (see tests/gpu/conftest.py) harms no other."""
    graphs.reset()
    counting.set_sync_debug_mode("default")


def start():
    """Change torch."""
    # Where a fingerprint of a study looks for the class of a tensor.
    CudaTensor.__module__, torch.cuda.CudaTensor = "torch.cuda", CudaTensor
    for module in (torch.cuda, torch.cuda.random):
        for name, value in PATCHES.items():
            if module is torch.cuda or hasattr(module, name):
                setattr(module, name, value)
    random_numbers.Generator.__module__, torch.Generator = "torch", random_numbers.Generator
    pickling.start(CudaTensor)
    workers.start(PretendMode)
    PretendMode().__enter__()


start()
