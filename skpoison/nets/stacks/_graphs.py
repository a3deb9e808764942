"""Training steps as CUDA graphs: the kernels of a step are launched all at once.

The kernels of a small step run for less time than their launch takes.
"""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..._warnings import warn_caller
from .._random import alone

# A capture takes three calls on another stream, one that is recorded, and an emptied cache of
# memory: together about 20 ordinary steps (an estimate, not measured on a GPU). If we capture after
# so many steps, we lose at most half of the time that we would have needed had we known how many
# are to come: members leave, and epochs have few steps of some sizes.
MIN_STEPS = 20
# A graph takes some memory, and a stack has a size for each number of batches among its members.
MAX_GRAPHS = 16
N_WARM_UPS = 3


class GraphedSteps:
    """Take training steps, those of frequent sizes by a graph.

    The steps change tensors in place. A graph writes to the memory of these tensors, so `forget`
    must be called before other tensors take their place.
    """

    def __init__(self):
        self.may_capture = None  # Not known before the first capture is due.
        self.forget()

    def forget(self):
        """Drop the graphs, because the steps will change other tensors."""
        self.graphs = {}
        self.n_steps = Counter()

    def take(self, step, inputs, changed):
        """Take a step.

        Parameters
        ----------
        step : callable of inputs, returning losses
            The same function at each call.
        inputs : tuple of Tensor
            The arguments; the length of the first is the size of the step.
        changed : callable, returning a list of Tensor
            The tensors that `step` changes.

        Returns
        -------
        losses : Tensor
            What `step` returns. The next step may write over it.
        """
        size = len(inputs[0])
        if size in self.graphs:
            return self.graphs[size](*inputs)
        self.n_steps[size] += 1
        is_due = self.n_steps[size] > MIN_STEPS and len(self.graphs) < MAX_GRAPHS
        if self.may_capture is False or not is_due:
            return step(*inputs)
        if self.may_capture is None:
            return self._watch(step, inputs)
        # The graphs of a stack share their memory: at its end, a step has no more use for it.
        pool = next(iter(self.graphs.values())).pool if self.graphs else None
        self.graphs[size] = GraphedStep(step, inputs, changed(), pool)
        return self.graphs[size](*inputs)

    def _watch(self, step, inputs):
        """Take an ordinary step, and learn from it whether steps may be captured."""
        with WaitWatch() as watch:
            losses = step(*inputs)
        self.may_capture = watch.found is None
        if not self.may_capture:
            warn_caller(
                f"In each training step the CPU waits for the GPU, at {watch.found}. The steps are "
                "not captured as a CUDA graph, and take longer.",
                RuntimeWarning,
            )
        return losses


class GraphedStep:
    """A training step on fixed memory, captured as a CUDA graph and replayed.

    Parameters
    ----------
    step : callable of inputs, returning losses
        Changes tensors in place, by the same kernels at each call.
    inputs : tuple of Tensor
        Arguments of the shapes, dtypes and device that it will be called with.
    changed : list of Tensor
        The tensors that `step` changes; they are what they were after the capture.
    pool : tuple, default=None
        The `pool` of another graph that still exists, to share its memory.
    """

    def __init__(self, step, inputs, changed, pool=None):
        self.inputs = [part.clone() for part in inputs]
        device = self.inputs[0].device
        before = [tensor.clone() for tensor in changed]

        def put_back():
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)

        # A process may have one capture at a time. While it lasts, the default generator of the
        # device serves nobody else; fits, which may draw from it, hold the same lock.
        with alone(), torch.cuda.device(device):
            current, aside = torch.cuda.current_stream(device), torch.cuda.Stream(device)
            aside.wait_stream(current)
            with torch.cuda.stream(aside):
                for _ in range(N_WARM_UPS):
                    losses = step(*self.inputs)
            current.wait_stream(aside)
            put_back()
            # Not in the memory of the pool, over which other graphs write.
            self.losses = torch.empty_like(losses)
            self.graph = torch.cuda.CUDAGraph()
            self._capture(step, pool, aside)
            self.losses.fill_(-1)
            self.graph.replay()
            put_back()
        # No cross-entropy is -1.
        if bool((self.losses == -1).all()):
            raise RuntimeError(f"the CUDA graph of a training step on {device} is empty")
        self.pool = self.graph.pool()

    def _capture(self, step, pool, stream):
        # "thread_local" lets other threads allocate memory and wait for the device meanwhile. If a
        # capture fails, torch does not leave its stream; the outer `with` does.
        kwargs = {"pool": pool, "stream": stream, "capture_error_mode": "thread_local"}
        try:
            with torch.cuda.stream(stream), torch.cuda.graph(self.graph, **kwargs):
                self.losses.copy_(step(*self.inputs))
        except RuntimeError as error:
            # The end of a capture that failed raises an error of its own.
            cause = error.__context__
            if isinstance(cause, torch.cuda.OutOfMemoryError):
                raise cause from None
            error.add_note(
                "This happened while a training step was captured as a CUDA graph. "
                "`fit_many(..., fused=False)` trains without graphs."
            )
            raise

    def __call__(self, *inputs):
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return self.losses


class WaitWatch(TorchDispatchMode):
    """Find an operation that waits for the device or copies to it: a graph cannot hold it.

    `torch.cuda.set_sync_debug_mode` finds them too, but it speaks for the whole process: other
    threads would get its errors.

    Attributes
    ----------
    found : str or None
        The first such operation.
    """

    def __init__(self):
        super().__init__()
        self.found = None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.found is None and _waits(func, args, kwargs, out):
            self.found = str(func)
        return out


_COPIES = {"_to_copy", "copy_"}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


def _waits(func, args, kwargs, out):
    """Whether an operation on a device needs the CPU to wait for it, or copies between both."""
    tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return False
    name = str(func).split(".")[1]  # of aten.index.Tensor
    # Other operations take a number that lies on the CPU as a constant.
    sizable = [tensor for tensor in tensors if tensor.ndim or name in _COPIES]
    if any(tensor.device.type == "cpu" for tensor in sizable):
        return True
    if name in _INDEXING:  # A mask becomes places, and the number of these is not known before.
        return any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1])
    if name == "lift_fresh":
        return True  # `torch.tensor(numbers, device=device)`
    tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
    return not tags.isdisjoint(func.tags)
