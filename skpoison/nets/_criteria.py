"""What a criterion takes from the module, and how its outputs become logits or probabilities."""

import functools

import torch
from torch import nn

from ._steps import check_logits

_ROUNDING = 1e-4


def for_criterion(criterion, output, labels, n_classes):
    """Check the outputs of a module, and return them with labels as the criterion takes them.

    Parameters
    ----------
    criterion : torch.nn.Module
    output : Tensor
        What the module returned for a batch.
    labels : Tensor of shape (n,)
        Indices of the classes.
    n_classes : int
        How many classes there are.

    Returns
    -------
    output : Tensor
    labels : Tensor
    """
    if isinstance(criterion, nn.CrossEntropyLoss):
        check_logits(output, n_classes)
    elif isinstance(criterion, nn.BCEWithLogitsLoss):
        shape = tuple(output.shape)
        if n_classes != 2 or len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
            raise ValueError(
                "`criterion` BCEWithLogitsLoss takes two classes and a `module` with one output, "
                f"got {n_classes} classes and an output of shape {shape}; CrossEntropyLoss takes "
                "one output for each class"
            )
        output = output.reshape(-1)
        labels = torch.as_tensor(labels, device=output.device).to(output.dtype)
    elif isinstance(criterion, nn.BCELoss):
        raise ValueError(
            "`criterion` must not be BCELoss, got it; BCEWithLogitsLoss takes a `module` with one "
            "output, a logit"
        )
    return output, labels


def check_probabilities(output):
    """Raise unless a module that is trained with NLLLoss gives probabilities."""
    if ((output < 0) | (output > 1 + _ROUNDING)).any():
        raise ValueError(
            "`criterion` NLLLoss takes a `module` that returns probabilities (skorch takes their "
            f"logarithm), got outputs from {output.min():.3g} to {output.max():.3g}; "
            "for logits or log-probabilities use CrossEntropyLoss"
        )


def two_logits(output):
    """Return logits of both classes from the one output of a net with BCEWithLogitsLoss.

    Their softmax is the sigmoid of the output.
    """
    output = output.reshape(-1)
    return torch.stack([torch.zeros_like(output), output], dim=1)


def nonlinearity_of(criterion):
    """Return what turns logits into probabilities; None if the criterion takes no logits."""
    if isinstance(criterion, nn.CrossEntropyLoss):
        return functools.partial(torch.softmax, dim=-1)
    return _binary_probabilities if isinstance(criterion, nn.BCEWithLogitsLoss) else None


def _binary_probabilities(output):
    return two_logits(output).softmax(1)
