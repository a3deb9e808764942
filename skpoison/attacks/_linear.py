"""Linear surrogates: their logits, and the attack loss with its gradient in closed form."""

import numpy as np
import torch
from torch.nn import functional as F

from ._ascent import Objective, Room
from ._losses import SIGNS

# Numbers of a part of the rows. It and the room for it, some megabytes in all, stay in the cache.
_PART = 2**18
# Fewer rows would take longer to ask for than to compute.
_MIN_ROWS = 64


class LinearLogits(torch.nn.Module):
    """The logits of a linear scikit-learn classifier, computed from its coefficients."""

    def __init__(self, surrogate):
        super().__init__()
        weight = np.atleast_2d(surrogate.coef_)
        bias = np.broadcast_to(surrogate.intercept_, len(weight))
        self.weight, self.bias = (
            torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))
            for values in (weight, bias)
        )

    def forward(self, rows):
        scores = rows.reshape(len(rows), -1) @ self.weight.to(rows).T + self.bias.to(rows)
        if scores.shape[1] > 1:
            return scores
        # With two classes scikit-learn gives one score f, of the second class. The logits (0, f)
        # have the same probabilities: their softmax is (1 - sigmoid(f), sigmoid(f)).
        return torch.cat([torch.zeros_like(scores), scores], dim=1)


class LinearObjective(Objective):
    """The attack loss of rows for `LinearLogits`, and its gradient, without autograd, on the CPU.

    Only differences of logits matter: with K classes there are K - 1 scores, of class 1 and on,
    measured from class 0. The gradient of a row is a sum of the K - 1 rows of weights. Their
    factors, the residuals, are the derivatives of the loss with respect to the scores.

    Parameters
    ----------
    weight : ndarray of shape (n_scores, d)
        How a row's scores change with it; two classes have one score.
    bias : ndarray of shape (n_scores, 1) or (n_scores, n)
        The scores at 0: of all rows, or of each row.
    loss : {"negated", "cross_entropy"}
        The attack loss: s l(s z, y), where l is the cross-entropy, z are the logits (with two
        classes 0 and the score) and s is a sign.
    codes : torch.Tensor of shape (n,), int64
        Index of each row's label.
    missing : torch.Tensor of bool of shape (n, d) or None
        Cells that do not move.
    """

    def __init__(self, weight, bias, loss, codes, missing=None):
        if len(weight) > 1:
            weight, bias = weight[1:] - weight[0], bias[1:] - bias[0]
        self.weight = weight
        self.bias = bias
        self.sign = SIGNS[loss]
        self.codes = codes
        self.missing = missing
        self._room = Room()

    def part_size(self, rows, batch_size):
        """As many rows as stay in the cache, whatever the batch size: so sums round alike."""
        return max(_PART // self.weight.shape[1], _MIN_ROWS)

    def losses(self, position, part):
        """The loss of each row of a part, in float64."""
        return self._losses_and_residuals(position, part)[0]

    def gradient(self, position, part):
        """The loss of each row of a part, and the gradient of each row's own loss.

        The next call writes the next gradient to the same memory.
        """
        losses, residuals = self._losses_and_residuals(position, part)
        gradient = self._room.like(position)
        flat = gradient.view(position.shape[0], -1)
        weight = torch.from_numpy(self.weight).to(flat)
        if len(weight) == 1:
            torch.mul(residuals.T, weight, out=flat)
        else:
            np.matmul(residuals.numpy().T, weight.numpy(), out=flat.numpy())
        if self.missing is not None:
            flat.masked_fill_(self.missing[part], 0)
        return losses, gradient

    def _losses_and_residuals(self, position, part):
        """The losses, (n,), in float64, and the residuals, (K - 1, n)."""
        flat = position.numpy().reshape(position.shape[0], -1)
        # NumPy multiplies by few columns faster than torch does, if they lie in one piece.
        weight = np.ascontiguousarray(self.sign * self.weight.T, dtype=flat.dtype)
        bias = self.bias if self.bias.shape[1] == 1 else self.bias[:, part]
        bias = torch.from_numpy(self.sign * bias).to(position)
        # By class from here on, because both compute fastest along long rows.
        logits = position.new_zeros(len(bias) + 1, position.shape[0])
        torch.add(torch.from_numpy(flat @ weight).T, bias, out=logits[1:])
        of = _of_two if len(bias) == 1 else _of_many
        losses, residuals = of(logits, self.codes[part])
        return losses.double().mul_(self.sign), residuals


def _of_two(logits, codes):
    """Cross-entropy of the logits (0, f), (n,), and its derivative in f, (1, n)."""
    # -1 for a label of 1, whose loss falls as f rises; 1 for a label of 0.
    sides = 1 - 2 * codes.to(logits)
    margins = logits[1:] * sides
    return -F.logsigmoid(-margins[0]), margins.sigmoid_().mul_(sides)


def _of_many(logits, codes):
    """Cross-entropy of the logits (0, f), (n,), and its derivatives in f, (n_classes - 1, n)."""
    logits -= logits.amax(dim=0)
    own = codes[None]
    label = logits.gather(0, own)[0]
    shares = logits.exp_()
    total = shares.sum(dim=0)
    shares /= total
    # p - 1 of the label is minus the sum of the others, which keeps its digits where p is near 1.
    shares.scatter_(0, own, 0.0)
    residuals = shares.scatter_(0, own, -shares.sum(dim=0, keepdim=True))
    return total.log_().sub_(label), residuals[1:]
