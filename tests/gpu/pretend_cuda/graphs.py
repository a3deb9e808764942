"""Streams, and CUDA graphs: recorded, and replayed on the memory that they were recorded with.

As with CUDA, a capture belongs to a stream. An operation is recorded if the current stream of its
device, in its thread, is being captured. Autograd runs a backward pass on the streams of the
forward pass.
"""

import itertools
import threading
import warnings

import torch
from torch.utils._pytree import tree_leaves

from . import counting, random_numbers
from .compiled import current_device, current_stream_id, set_device, set_stream_id
from .devices import canonical

aten = torch.ops.aten
_ids = itertools.count(1)
_captures = {}  # (device index, stream id) to the graph that is recorded there


class Stream:
    def __init__(self, device=None, priority=0, *, stream_id=None):
        self.device = canonical("cuda" if device is None else device)
        self.stream_id = next(_ids) if stream_id is None else stream_id

    def __eq__(self, other):
        return isinstance(other, Stream) and self.key == other.key

    def __hash__(self):
        return hash(self.key)

    @property
    def key(self):
        return self.device.index, self.stream_id

    def wait_stream(self, other):
        pass

    def synchronize(self):
        counting.note("synchronize", "stream synchronize")


def current_stream(device=None):
    device = canonical("cuda" if device is None else device)
    return Stream(device, stream_id=current_stream_id(device.index))


def default_stream(device=None):
    return Stream(device, stream_id=0)


def set_stream(stream):
    set_device(stream.device.index)
    set_stream_id(*stream.key)


class StreamContext:
    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        if self.stream is None:
            return
        self.device = current_device()
        self.before = current_stream(self.stream.device)
        set_stream(self.stream)

    def __exit__(self, *error):
        if self.stream is None:
            return
        set_stream(self.before)
        set_device(self.device)


class Device:
    """Makes a device the current one."""

    def __init__(self, device):
        self.index = canonical(device).index

    def __enter__(self):
        self.before = current_device()
        set_device(self.index)

    def __exit__(self, *error):
        set_device(self.before)


class CUDAGraph:
    def __init__(self, keep_graph=False):
        self.steps = None

    def capture_begin(self, pool=None, capture_error_mode="global"):
        self.stream = current_stream()
        if self.stream.stream_id == 0:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream.")
        self.steps, self.undo, self.valid = [], [], True
        self.mode, self.thread = capture_error_mode, threading.get_ident()
        self._pool = object() if pool is None else pool
        counting.LOG["capture", counting.line()] += 1
        _captures[self.stream.key] = self

    def capture_end(self):
        del _captures[self.stream.key]
        # What a capture has written over stays as it was, and its results are not there yet.
        for tensor, before in reversed(self.undo):
            aten.copy_.default(tensor, before)
        self.undo.clear()
        for _, _, results in self.steps:
            for result in results:
                if result.is_floating_point():
                    aten.fill_.Scalar(result, float("nan"))
        if not self.valid:
            random_numbers.stuck.add(self.stream.device.index)
            self.steps = None
            raise RuntimeError(
                "CUDA error: operation failed due to a previous error during capture"
            )
        random_numbers.stuck.discard(self.stream.device.index)
        if not self.steps:
            warnings.warn(
                "The CUDA Graph is empty. This usually means that the graph was attempted to be "
                "captured on wrong device or stream.",
                stacklevel=3,
            )

    def replay(self):
        if self.steps is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        for repeat, device, results in self.steps:
            with random_numbers.drawn_from(device):
                new = repeat()
            for own, value in zip(results, tensors(new) if results else (), strict=True):
                aten.copy_.default(own, value)

    def pool(self):
        return self._pool

    def reset(self):
        self.steps = None


class Capture:
    """As torch.cuda.graph: an error that ends a capture leaves its stream current."""

    default_capture_stream = None

    def __init__(self, cuda_graph, pool=None, stream=None, capture_error_mode="global"):
        if Capture.default_capture_stream is None:
            Capture.default_capture_stream = Stream()
        self.graph, self.pool, self.mode = cuda_graph, pool, capture_error_mode
        self.context = StreamContext(stream or Capture.default_capture_stream)

    def __enter__(self):
        refuse("synchronize")
        self.context.__enter__()
        self.graph.capture_begin(self.pool, self.mode)

    def __exit__(self, *error):
        self.graph.capture_end()
        self.context.__exit__(*error)


def of_current_stream(device):
    """The graph that is recorded on the current stream of this device, or None."""
    if device is None or not _captures:
        return None
    return _captures.get((device.index, current_stream_id(device.index)))


def any_on(device):
    """Whether a graph is recorded on any stream of this device."""
    return any(index == device.index for index, _ in list(_captures))


def is_current_stream_capturing():
    return of_current_stream(canonical("cuda")) is not None


def refuse(what):
    """Refuse what may not be done while a graph is captured, and spoil the capture."""
    for graph in list(_captures.values()):
        own = of_current_stream(graph.stream.device) is graph
        here = own or graph.thread == threading.get_ident()
        if graph.mode == "global" or own or (here and graph.mode == "thread_local"):
            graph.valid = False
            raise RuntimeError(
                f"CUDA error: operation not permitted when stream is capturing ({what})"
            )


counting.refuse_in_capture = refuse


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def before(func, args, device):
    """Keep what a recorded operation is about to write over."""
    graph = of_current_stream(device)
    if graph is None:
        return
    for argument, value in zip(func._schema.arguments, args, strict=False):
        writes = argument.alias_info is not None and argument.alias_info.is_write
        for tensor in tensors(value) if writes else ():
            graph.undo.append((tensor, tensor.clone()))


def after(func, args, kwargs, out, device):
    """Record an operation on plain tensors."""
    graph = of_current_stream(device)
    if graph is None:
        return
    schema = func._schema
    writes = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
    if not writes and any(r.alias_info is not None for r in schema.returns):
        return  # a view needs no repetition
    results = [] if writes else tensors(out)
    seeded = torch.Tag.nondeterministic_seeded in func.tags
    graph.steps.append((lambda: func(*args, **kwargs), device if seeded else None, results))


def reset():
    """Forget captures and streams that something has left behind."""
    _captures.clear()
    random_numbers.stuck.clear()
    for index in range(len(random_numbers.DEFAULT)):
        set_stream_id(index, 0)
    set_device(0)
