"""Projected gradient ascent: the loop of `CleanLabelPGA`, on rows in memory or on disk."""

import numpy as np
import torch

from ._losses import LOSSES
from ._parts import parts_of
from ._projections import LOWERINGS, column, factors_of, row_norms
from ._vectors import (
    as_array,
    as_float64,
    is_on_device,
    namespace_of,
    quotient,
    store,
    to_host,
    zeros_beside,
)


class Ascent:
    """Projected gradient ascent of the perturbations of rows, inside a budget and a box.

    Parameters
    ----------
    norm : {"l2,1", "l2,inf"}
        Which norm is bounded.
    radius : float
        The bound in absolute terms.
    box : tuple of (low, high) or None
        The sides between which rows stay: numbers, or tensors that broadcast to a row.
    n_changeable : int
        How many rows may change: the ones whose loss rises most.
    step_size, max_iter, batch_size, verbose
        As in `CleanLabelPGA`.

    Attributes
    ----------
    loss_curve_ : list of float
        Mean loss of the rows that may change, before each step and after the last.
    n_iter_ : int
        Number of steps taken.
    """

    def __init__(
        self, norm, radius, box, n_changeable, *, step_size, max_iter, batch_size, verbose
    ):
        self.norm = norm
        self.radius = float(radius)
        self.box = box
        self.n_changeable = n_changeable
        self.step_size = step_size
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.verbose = verbose

    def run(self, objective, rows, delta, scratch):
        """Write the perturbation of `rows` into `delta`; `scratch` is room of the same shape."""
        n = len(rows)
        for part in parts_of(n):
            delta[part] = torch.zeros_like(rows[part])
        if self.radius == 0 or self.n_changeable == 0:
            self.n_iter_ = 0
            self.loss_curve_ = to_host(self._losses(objective, rows, delta).mean())
            return
        self._ascend(objective, rows, delta, scratch, slice(None))
        if self.n_changeable < n:
            after = self._losses(objective, rows, delta)
            for part in parts_of(n):
                delta[part] = torch.zeros_like(rows[part])
            gain = as_array(after - self._losses(objective, rows, delta))
            order = np.argsort(-gain, kind="stable")
            kept = np.sort(order[: self.n_changeable])
            self._ascend(objective, rows, delta, scratch, rows.index(kept))

    def _losses(self, objective, rows, delta):
        losses = rows.zeros()
        # Written into one vector: a list of small arrays would keep the heap from shrinking.
        for part in parts_of(len(rows), objective.part_size(rows, self.batch_size)):
            store(losses, part, objective.losses(rows[part] + delta[part], part))
        return losses

    def _ascend(self, objective, rows, delta, scratch, chosen):
        """Projected gradient ascent of the chosen rows from delta = 0, inside budget and box."""
        # With "l2,1" a step depends on the norms of all rows. With "l2,inf" each row goes its own
        # way, so that a part takes a whole step while it is in the processor's cache.
        is_joint = self.norm == "l2,1"
        lower = LOWERINGS[self.norm]
        size = objective.part_size(rows, self.batch_size)
        on = _Part(objective, self.box, rows, delta, min(size, len(rows)))
        factors = rows.zeros()
        xp = namespace_of(factors)
        moving = rows.zeros() > 0
        moving[chosen] = True
        n_moving = len(factors[chosen])
        parts = parts_of_moving(moving, n_moving, size)
        self.loss_curve_ = []
        self.n_iter_ = 0
        for step in range(self.max_iter):
            for part in parts:
                if is_joint:
                    # The projection of the step before waits for this one, to find the rows here.
                    if step:
                        on.project(part, scratch[part], factors[part])
                    own = scratch.in_place(part)
                    scratch.put(part, on.climb(part, own), own)
                else:
                    directions = on.climb(part)
                    lengths = self._step_lengths(on.slopes[part], step)
                    moved = on.move(part, directions, lengths)
                    norms = on.norms[part]
                    lowered = lower(norms, self.radius)
                    on.project(part, moved, factors_of(lowered, norms, torch.finfo(moved.dtype)))
            # A row without a slope stops moving, unless the projection still lowers it.
            moving &= (on.slopes > 0) | ((factors > 0) & (on.norms > 0) & is_joint)
            is_finite, loss, n_left, is_steep = to_host(
                xp.isfinite(on.losses).all() & xp.isfinite(on.slopes).all(),
                on.losses[chosen].mean(),
                moving.sum(),
                on.slopes.any(),
            )
            if not is_finite:
                raise ValueError("`surrogate` must have finite losses and gradients, got others")
            self._record(loss)
            if not is_steep:
                break
            self.n_iter_ += 1
            if n_left < n_moving:
                n_moving = int(n_left)
                parts = parts_of_moving(moving, n_moving, size)
            if is_joint:
                lengths = self._step_lengths(on.slopes, step)
                for part in parts:
                    own = scratch.in_place(part)
                    directions = scratch[part] if own is None else own
                    scratch.put(part, on.move(part, directions, lengths[part]), own)
                factors = factors_of(lower(on.norms, self.radius), on.norms, on.info)
        else:
            if is_joint:
                for part in parts:
                    on.project(part, scratch[part], factors[part])
            losses = self._losses(objective, rows, delta)
            self._record(*to_host(losses[chosen].mean()))

    def _step_lengths(self, slopes, step):
        """How far each row goes along its gradient."""
        if self.step_size != "auto":
            return slopes * self.step_size
        return auto_steps(self.norm, slopes, self.radius, step, self.max_iter)

    def _record(self, loss):
        self.loss_curve_.append(float(loss))
        if self.verbose:
            print(f"Step {self.n_iter_}, attack loss {loss:.6g}")  # noqa: T201


class _Part:
    """What a step does to a part of the rows: climb, move, project.

    Attributes
    ----------
    losses, slopes : of shape (n,)
        The loss of each row and the norm of its gradient, at the latest `climb`.
    norms : of shape (n,)
        The norm of each row's perturbation, after the latest `move`.
    info : torch.finfo
        About the dtype of the rows.
    """

    def __init__(self, objective, box, rows, delta, size):
        self.objective = objective
        self.rows = rows
        self.delta = delta
        self.box = box
        # Sides of columns are compared fastest in the shape of a part, which has `size` rows.
        self.sides = box and tuple(
            side.broadcast_to(size, *rows.values.shape[1:]).contiguous()
            if isinstance(side, torch.Tensor)
            else side
            for side in box
        )
        self.losses, self.slopes, self.norms = rows.zeros(), rows.zeros(), rows.zeros()
        self.position, self.directions = Room(), Room()

    def climb(self, part, out=None):
        """The direction of each row's gradient: of length 1, or 0 for a row without a slope."""
        rows = self.rows[part]
        position = torch.add(rows, self.delta[part], out=self.position.like(rows))
        loss, gradient = self.objective.gradient(position, part)
        store(self.losses, part, loss)
        # Not into the gradient itself, which may be a tensor of the surrogate.
        out = self.directions.like(gradient) if out is None else out
        if self.box is not None:
            n = position.shape[0]
            sides = tuple(
                side[:n] if isinstance(side, torch.Tensor) else side for side in self.sides
            )
            gradient = drop_outward(gradient, position, sides, out)
        self.info = torch.finfo(gradient.dtype)
        # Norms in float64: squares of float32 underflow where a loss is almost flat.
        store(self.slopes, part, row_norms(gradient))
        slopes = self.slopes[part]
        slopes = namespace_of(slopes).where(slopes < self.info.tiny, 0.0, slopes)
        self.slopes[part] = slopes
        # Two products, here and in `move`: the length over a tiny slope may overflow.
        return torch.mul(gradient, column(quotient(1.0, slopes), gradient), out=out)

    def move(self, part, directions, lengths):
        """The perturbation after a step, still outside budget and box; written to `directions`."""
        moved = directions.mul_(column(lengths, directions)).add_(self.delta[part])
        store(self.norms, part, row_norms(moved))
        return moved

    def project(self, part, moved, factors):
        """Write the perturbation, scaled by `factors` into the budget, and clipped to the box."""
        own = self.delta.in_place(part)
        if self.box is None:
            moved = torch.mul(moved, column(factors, moved), out=own)
        else:
            rows = self.rows[part]
            moved.mul_(column(factors, moved)).add_(rows).clamp_(*self.box)
            moved = torch.sub(moved, rows, out=own)
        self.delta.put(part, moved, own)


class Room:
    """Memory for parts of rows that is used again: fresh memory takes longer than arithmetic."""

    def __init__(self):
        self._values = None

    def like(self, rows):
        """A tensor like `rows`, with any content; the next call gives the same memory."""
        n = rows.shape[0]
        if self._values is None or self._values.shape[0] < n:
            self._values = torch.empty_like(rows, memory_format=torch.contiguous_format)
        return self._values[:n]


class Objective:
    """The attack loss of rows, and its gradient with respect to them."""

    def __init__(self, logits, loss, codes):
        self.logits = logits
        self.loss = LOSSES[loss]
        self.codes = codes

    def part_size(self, rows, batch_size):
        """How many rows a part may have."""
        return batch_size

    def losses(self, position, part):
        """The loss of each row of a part, in float64."""
        with torch.no_grad():
            return as_float64(self._loss(position, part))

    def gradient(self, position, part):
        """The loss of each row of a part, and the gradient of each row's own loss."""
        position = position.detach().requires_grad_()
        with torch.enable_grad():
            loss = self._loss(position, part)
        (gradient,) = torch.autograd.grad(loss.sum(), position)
        return as_float64(loss.detach()), gradient

    def _loss(self, position, part):
        logits = self.logits(position, part)
        # A surrogate may take rows of the CPU and compute elsewhere.
        return self.loss(logits, self.codes[part].to(logits.device))


class DeviceRows:
    """Rows as tensors on a device, read from and written to a tensor or an array on disk."""

    def __init__(self, values, device):
        self.values = values
        self.device = device

    def __len__(self):
        return len(self.values)

    def zeros(self):
        """A vector with a number for each row."""
        return zeros_beside(self.values)

    def index(self, rows):
        """An array of row numbers, in the form in which it selects from `zeros`."""
        return torch.tensor(rows, device=self.device) if is_on_device(self.values) else rows

    def __getitem__(self, part):
        if isinstance(self.values, torch.Tensor):
            return self.values[part]
        return torch.tensor(np.ascontiguousarray(self.values[part]), device=self.device)

    def in_place(self, part):
        """These rows, to be written to where they lie, or None where that cannot be."""
        is_tensor = isinstance(self.values, torch.Tensor)
        return self.values[part] if is_tensor and isinstance(part, slice) else None

    def put(self, part, rows, own):
        """Write rows, unless they were computed where they lie: they are `own` then."""
        if own is None:
            self[part] = rows

    def __setitem__(self, part, rows):
        if not isinstance(self.values, torch.Tensor):
            rows = rows.cpu().numpy()
        self.values[part] = rows


def parts_of_moving(moving, n_moving, size):
    """Slices of all rows or, where some rows do not move, indices of the others."""
    n = len(moving)
    if n_moving == n:
        return parts_of(n, size)
    if isinstance(moving, torch.Tensor):
        # Sorted: to search for them on a device would be to wait.
        indices = (~moving).to(torch.uint8).argsort(stable=True)[:n_moving]
    elif n_moving < n / 2:
        indices = np.flatnonzero(moving)
    else:
        # Slices where they will do: to collect rows by their indices takes longer than a step.
        found = ((part, np.flatnonzero(moving[part])) for part in parts_of(n, size))
        return [
            part if len(own) == len(moving[part]) else part.start + own
            for part, own in found
            if len(own)
        ]
    return [indices[part] for part in parts_of(n_moving, size)]


def auto_steps(norm, slopes, radius, step, max_iter):
    """The length of each row's step; over all steps the lengths sum to four times the bound."""
    length = 8 * radius / max_iter * (1 - step / max_iter)
    if norm == "l2,1":
        return slopes / slopes.sum() * length
    xp = namespace_of(slopes)
    return xp.where(slopes > 0, xp.full_like(slopes, length), 0.0)


def drop_outward(gradient, position, box, out):
    """Set to 0 the gradient's components that point out of the box at one of its sides.

    Returns the gradient itself if there are none, else `out`, which may be the gradient.
    """
    low, high = box
    if is_on_device(gradient):
        outward = ((position <= low) & (gradient < 0)) | ((position >= high) & (gradient > 0))
        return out.copy_(gradient).masked_fill_(outward, 0)
    # NumPy compares several times faster than torch, and few values are at a side.
    slope, position = gradient.numpy(), position.numpy()
    low, high = (side.numpy() if isinstance(side, torch.Tensor) else side for side in box)
    at_low, at_high = position <= low, position >= high
    if not (at_low.any() or at_high.any()):
        return gradient
    outward = np.logical_and(at_low, slope < 0, out=at_low)
    outward |= np.logical_and(at_high, slope > 0, out=at_high)
    out.copy_(gradient).view(-1)[np.flatnonzero(outward)] = 0
    return out
