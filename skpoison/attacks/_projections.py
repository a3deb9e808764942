"""Euclidean projections of perturbations onto the two budgets of the paper."""

import math
from typing import TypeVar

import numpy as np
import torch

from .._threads import limit_threads
from .._typing import Array
from .._validation import check_real
from ._vectors import has_float64, namespace_of, quotient

_Delta = TypeVar("_Delta", Array, torch.Tensor)


# Norms below this are computed from scaled rows: their squares may have lost digits.
_SMALL = 1e-140


def row_norms(delta):
    """Euclidean norm of each row in float64, of shape (n,).

    An array; or a tensor, if `delta` lies on another device than the CPU that has float64.
    """
    flat = delta.reshape(len(delta), math.prod(delta.shape[1:]))
    if isinstance(delta, torch.Tensor):
        flat = flat.detach()
        if not has_float64(flat.device):
            flat = flat.cpu()
        norms = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)
        if flat.device.type != "cpu":
            return _norms_where_small(flat, norms)
        norms = norms.numpy()
    else:
        norms = np.sqrt(np.einsum("ij,ij->i", flat, flat, dtype=np.float64))
    small = np.flatnonzero(norms < _SMALL)
    # Squares of other dtypes are far from the smallest float64.
    if len(small) and "float64" in str(delta.dtype):
        rows = np.asarray(flat[small])
        largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
        scaled = np.divide(rows, largest, where=largest > 0, out=np.zeros_like(rows))
        norms[small] = largest[:, 0] * np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    return norms


def _norms_where_small(flat, norms):
    """Norms of rows on a device; the scaled rows are used without asking if any row is small."""
    if flat.dtype != torch.float64 or not flat.numel():
        return norms
    largest = flat.abs().amax(dim=1)
    scaled = flat / torch.where(largest > 0, largest, 1.0)[:, None]
    return torch.where(norms < _SMALL, largest * torch.linalg.vector_norm(scaled, dim=1), norms)


@limit_threads
def project_l21(delta: _Delta, radius: float) -> _Delta:
    """Project rows onto the l2,1 ball: the nearest delta' with sum_i ||delta'_i||_2 <= radius.

    This is the budget of regime A. Every row keeps its direction. One threshold is subtracted from
    all row norms (none falls below 0): this projects the norms onto the l1 ball [1]_.

    Parameters
    ----------
    delta : ndarray or torch.Tensor of shape (n, ...)
        Perturbations, one a row; real floats.
    radius : float
        Sum of row norms to stay within, >= 0.

    Returns
    -------
    projected : ndarray or torch.Tensor of shape (n, ...)
        A new array of the type and dtype of `delta`; equal to `delta` if that is in the ball.

    Raises
    ------
    TypeError
        If `delta` is not an array or a tensor of floats.
    ValueError
        If `radius` is negative or not finite, or `delta` has NaN or infinity.

    Notes
    -----
    The time is O(n log n) for n rows. Rows whose norm is lowered are shrunk by one further unit of
    the dtype's precision, so that rounding does not leave the ball.

    References
    ----------
    .. [1] Duchi, Shalev-Shwartz, Singer, Chandra, "Efficient Projections onto the l1-Ball for
       Learning in High Dimensions", ICML 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison import project_l21
    >>> project_l21(np.array([[3.0, 4.0], [0.0, 1.0]]), radius=3.0)
    array([[1.8, 2.4], [0. , 0. ]])
    """
    norms, radius = _check(delta, radius)
    return _scale(delta, lower_l21(norms, radius), norms)


@limit_threads
def project_l2inf(delta: _Delta, radius: float) -> _Delta:
    """Project rows onto the l2,inf ball: the nearest delta' with every ||delta'_i||_2 <= radius.

    This is the budget of regime B.

    Parameters
    ----------
    delta : ndarray or torch.Tensor of shape (n, ...)
        Perturbations, one a row; real floats.
    radius : float
        Norm that each row may have, >= 0.

    Returns
    -------
    projected : ndarray or torch.Tensor of shape (n, ...)
        A new array of the type and dtype of `delta`; rows inside the ball are unchanged.

    Raises
    ------
    TypeError
        If `delta` is not an array or a tensor of floats.
    ValueError
        If `radius` is negative or not finite, or `delta` has NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison import project_l2inf
    >>> project_l2inf(np.array([[3.0, 4.0], [0.0, 1.0]]), radius=2.0)
    array([[1.2, 1.6], [0. , 1. ]])
    """
    norms, radius = _check(delta, radius)
    return _scale(delta, lower_l2inf(norms, radius), norms)


PROJECTIONS = {"l2,1": project_l21, "l2,inf": project_l2inf}

# Norms up to this factor over the radius count as inside, so that projecting twice changes nothing.
_ROUNDING = 1 + 1e-12


def lower_l21(norms, radius):
    """The row norms after projection onto {t >= 0, sum t <= radius}."""
    xp = namespace_of(norms)
    is_inside = norms.sum() <= radius * _ROUNDING
    # On a device, to ask whether they are inside would be to wait.
    if not len(norms) or (xp is np and is_inside):
        return norms
    if radius == 0:
        return xp.zeros_like(norms)
    ordered = xp.flip(np.sort(norms) if xp is np else torch.msort(norms), (0,))
    count = xp.cumsum(xp.ones_like(norms), 0)
    # In this order, (v - mean) + radius / k: a small radius would vanish in mean - radius / k.
    means = xp.cumsum(ordered, 0) / count
    last = xp.where(ordered - means + radius / count > 0, count, 0.0).max()
    mean = xp.where(count == last, means, 0.0).sum()
    lowered = xp.clip(norms - mean + radius / last, 0, None)
    # If the radius is far smaller than the norms, the differences have few correct digits.
    lowered = lowered * xp.clip(radius / lowered.sum(), None, 1.0)
    return xp.where(is_inside, norms, lowered)


def lower_l2inf(norms, radius):
    """The row norms after projection: each at most the radius."""
    return namespace_of(norms).where(norms <= radius * _ROUNDING, norms, radius)


LOWERINGS = {"l2,1": lower_l21, "l2,inf": lower_l2inf}


def factors_of(target, norms, info):
    """Factors that lower row norms to `target`; exactly 1 for a row that keeps its norm.

    Other factors are one unit of precision smaller, so that rounding the rows does not leave the
    ball, and 0 where they are too small for the dtype, whose `finfo` is `info`.
    """
    xp = namespace_of(norms)
    is_lowered = target < norms
    factors = xp.where(is_lowered, quotient(target, norms) * (1 - info.eps), 1.0)
    is_tiny = is_lowered & ((target < info.tiny) | (factors < info.tiny))
    return xp.where(is_tiny, 0.0, factors)


def _check(delta, radius):
    radius = check_real(radius, "radius", low=0)
    is_tensor = isinstance(delta, torch.Tensor)
    if not is_tensor and not isinstance(delta, np.ndarray):
        raise TypeError(f"`delta` must be an ndarray or a torch.Tensor, got {type(delta).__name__}")
    if not (delta.is_floating_point() if is_tensor else delta.dtype.kind == "f"):
        raise TypeError(f"`delta` must have a real float dtype, got {delta.dtype}")
    if delta.ndim == 0:
        raise ValueError("`delta` must have rows, got a scalar")
    norms = row_norms(delta)
    if not namespace_of(norms).isfinite(norms).all():
        raise ValueError("`delta` must be finite, got NaN or infinity in a row or its norm")
    return norms, radius


def _scale(delta, target, norms):
    """Scale rows to the norms `target`; a row that keeps its norm stays the same bit for bit."""
    is_tensor = isinstance(delta, torch.Tensor)
    info = torch.finfo(delta.dtype) if is_tensor else np.finfo(delta.dtype)
    factors = factors_of(target, norms, info)
    scaled = times(delta, factors)
    # Half precision and numbers near the smallest of a dtype round by more than one unit.
    step = info.eps
    while (outside := (factors < 1) & (row_norms(scaled) > target * _ROUNDING)).any():
        factors = namespace_of(factors).where(outside, factors * max(1 - step, 0), factors)
        scaled = times(delta, factors)
        step *= 2
    return scaled


def times(delta, factors):
    """Multiply each row by its own factor."""
    return delta * column(factors, delta)


def column(factors, delta):
    """Factors, one a row, in the form in which they multiply the rows of `delta`."""
    shape = (len(factors),) + (1,) * (delta.ndim - 1)
    if isinstance(delta, torch.Tensor):
        factors = torch.as_tensor(factors, dtype=delta.dtype).to(delta.device)
    else:
        factors = factors.astype(delta.dtype)
    return factors.reshape(shape)
