"""For CUDA only: training steps captured as graphs."""

import torch

from .._warnings import warn_caller


class GraphedStep:
    """A training step on fixed memory, captured as a CUDA graph and replayed.

    The kernels of a small step run for less time than their launch takes; a graph launches all of
    them at once.

    Parameters
    ----------
    step : callable of (index, labels, rates), returning losses
        Changes tensors in place, by the same kernels at each call. If all rates are 0, it must
        leave the tensors as they are.
    inputs : tuple of Tensor
        Arguments of the shapes, dtypes and device that it will be called with.
    """

    def __init__(self, step, inputs):
        self.step = step
        self.inputs = [torch.zeros_like(part) for part in inputs]
        self.replay = self._capture()

    def __call__(self, *inputs):
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        if self.replay is None:
            return self.step(*self.inputs)
        self.replay()
        return self.losses

    def _capture(self):
        """Record a step; return a function that repeats it, or None if CUDA cannot record it."""
        # PyTorch requires warm-up calls on another stream. With rates of 0 they change nothing.
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.step(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.losses = self.step(*self.inputs)
        except RuntimeError as error:
            warn_caller(f"Steps are not captured as a CUDA graph: {error}", RuntimeWarning)
            return None
        return graph.replay
