"""Projected gradient ascent: the loop of `CleanLabelPGA`, on rows in memory or on disk."""

import numpy as np
import torch

from ._parts import parts_of
from ._projections import LOWERINGS, factors_of, row_norms, times
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
        for part in parts_of(len(rows), self.batch_size):
            store(losses, part, objective.losses(rows[part] + delta[part], part))
        return losses

    def _ascend(self, objective, rows, delta, scratch, chosen):
        """Projected gradient ascent of the chosen rows from delta = 0, inside budget and box."""
        box, radius = self.box, self.radius
        losses, norms = rows.zeros(), rows.zeros()
        xp = namespace_of(losses)
        moving = rows.zeros() > 0
        moving[chosen] = True
        n_moving = len(losses[chosen])
        parts = self._parts(moving, n_moving)
        self.loss_curve_ = []
        self.n_iter_ = 0
        for step in range(self.max_iter):
            slopes = rows.zeros()
            for part in parts:
                position = rows[part] + delta[part]
                loss, gradient = objective.gradient(position, part)
                if box is not None:
                    gradient = drop_outward(gradient, position, box)
                # Norms in float64: squares of float32 underflow where a loss is almost flat.
                store(losses, part, loss)
                store(slopes, part, row_norms(gradient))
                scratch[part] = gradient
            is_finite = xp.isfinite(losses).all() & xp.isfinite(slopes).all()
            slopes = xp.where(slopes < torch.finfo(gradient.dtype).tiny, 0.0, slopes)
            # A row without a slope stops moving, unless the projection still lowers it.
            moving &= (slopes > 0) | ((norms > 0) & (self.norm == "l2,1"))
            is_finite, loss, n_left, is_steep = to_host(
                is_finite, losses[chosen].mean(), moving.sum(), slopes.any()
            )
            if not is_finite:
                raise ValueError("`surrogate` must have finite losses and gradients, got others")
            self._record(loss)
            if not is_steep:
                break
            self.n_iter_ += 1
            if n_left < n_moving:
                n_moving = int(n_left)
                parts = self._parts(moving, n_moving)
            lengths = self._step_lengths(slopes, step, radius)
            inverse = quotient(1.0, slopes)
            for part in parts:
                # Two products: the inverse of a tiny slope times the length may overflow.
                unit = times(scratch[part], inverse[part])
                moved = times(unit, lengths[part]).add_(delta[part])
                store(norms, part, row_norms(moved))
                scratch[part] = moved
            info = torch.finfo(gradient.dtype)
            factors = factors_of(LOWERINGS[self.norm](norms, radius), norms, info)
            for part in parts:
                moved = times(scratch[part], factors[part])
                if box is not None:
                    position = rows[part]
                    moved = (position + moved).clamp_(*box).sub_(position)
                delta[part] = moved
                store(norms, part, row_norms(moved))
        else:
            losses = self._losses(objective, rows, delta)
            self._record(*to_host(losses[chosen].mean()))

    def _parts(self, moving, n_moving):
        """Slices of all rows or, if some rows do not move, indices of the others."""
        if n_moving == len(moving):
            return parts_of(n_moving, self.batch_size)
        if isinstance(moving, torch.Tensor):
            # Sorted: to search for them on a device would be to wait.
            indices = (~moving).to(torch.uint8).argsort(stable=True)[:n_moving]
        else:
            indices = np.flatnonzero(moving)
        return [indices[part] for part in parts_of(n_moving, self.batch_size)]

    def _step_lengths(self, slopes, step, radius):
        """How far each row goes along its gradient."""
        if self.step_size != "auto":
            return slopes * self.step_size
        return auto_steps(self.norm, slopes, radius, step, self.max_iter)

    def _record(self, loss):
        self.loss_curve_.append(float(loss))
        if self.verbose:
            print(f"Step {self.n_iter_}, attack loss {loss:.6g}")  # noqa: T201


class Objective:
    """The attack loss of rows, and its gradient with respect to them."""

    def __init__(self, logits, loss, codes):
        self.logits = logits
        self.loss = loss
        self.codes = codes

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

    def __setitem__(self, part, rows):
        if not isinstance(self.values, torch.Tensor):
            rows = rows.cpu().numpy()
        self.values[part] = rows


def auto_steps(norm, slopes, radius, step, max_iter):
    """The length of each row's step; over all steps the lengths sum to four times the bound."""
    length = 8 * radius / max_iter * (1 - step / max_iter)
    if norm == "l2,1":
        return slopes / slopes.sum() * length
    xp = namespace_of(slopes)
    return xp.where(slopes > 0, xp.full_like(slopes, length), 0.0)


def drop_outward(gradient, position, box):
    """Set to 0 the gradient's components that point out of the box at one of its sides."""
    low, high = box
    outward = ((position <= low) & (gradient < 0)) | ((position >= high) & (gradient > 0))
    return gradient.masked_fill(outward, 0)
