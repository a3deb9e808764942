"""Training steps that do less than skorch's, for a plain loss and optimiser."""

import torch
from torch import nn

from ._linear_chains import descend, have_hooks, layers_of

_PLAIN_LOSS = nn.CrossEntropyLoss()


def check_logits(output, n_classes):
    """Raise unless a module gave one logit for each class."""
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) != 2 or shape[1] != n_classes:
        raise ValueError(
            f"`module` must map rows to logits, one for each of the {n_classes} classes, got "
            f"an output of shape {shape}"
        )


def is_bare_sgd(optimizer, criterion, parameters):
    """Whether a step subtracts the mean gradient times the rate, and does nothing else.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    criterion : torch.nn.Module
    parameters : iterable of Parameter
        All parameters of the module: an optimiser may train some of them only.
    """
    if type(optimizer) is not torch.optim.SGD or type(criterion) is not nn.CrossEntropyLoss:
        return False
    group, *others = optimizer.param_groups
    adds = [group[name] for name in ("momentum", "weight_decay", "maximize")]
    hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    if others or any((*adds, *hooks)) or is_patched(optimizer):
        return False
    if have_hooks(criterion) or "forward" in vars(criterion):
        return False
    options = ("weight", "reduction", "ignore_index", "label_smoothing")
    if any(getattr(criterion, name) != getattr(_PLAIN_LOSS, name) for name in options):
        return False
    return set(map(id, group["params"])) == set(map(id, parameters))


def is_patched(optimizer):
    """Whether methods of an optimiser object are replaced, other than by torch's schedules."""
    own = vars(optimizer)
    step = own.get("step")
    return "zero_grad" in own or not (step is None or hasattr(step, "_wrapped_by_lr_sched"))


def note_step(optimizer):
    """Mark that an optimiser took a step: torch's schedules check for it."""
    optimizer._opt_called = True


def plain_step(module, criterion, optimizer, n_classes):
    """Return skorch's step without its closures, which take a fifth of a small step.

    Returns
    -------
    step : callable
        Takes a batch (X, y), returns a dict with ``loss`` and ``y_pred``, as skorch's step does.
    """

    def step(batch):
        X, y = batch
        optimizer.zero_grad()
        output = module(X)
        check_logits(output, n_classes)
        loss = criterion(output, y)
        loss.backward()
        optimizer.step()
        return {"loss": loss, "y_pred": output}

    return step


def chain_step(module, optimizer, chain, n_classes):
    """Return the step of a chain of linear layers without autograd, by the code of stacks.

    Parameters
    ----------
    chain : list of tuple
        The layers, as `linear_chain_of` returns them.

    Returns
    -------
    step : callable
        Takes a batch (X, y), returns a dict with ``loss``; ``y_pred`` is None.
    """
    parameters = {name: p.detach()[None] for name, p in module.named_parameters()}
    layers = layers_of(chain, parameters)
    weight = layers[-1][0]
    # The shape of an output for as many rows as the last layer has inputs.
    check_logits(weight[0].T, n_classes)
    # Filled on the device: a list would be copied to it.
    rates = weight.new_full((1, 1, 1), float(optimizer.param_groups[0]["lr"]))
    shares = {}  # By the number of rows in a batch: in an epoch there are two at most.
    note_step(optimizer)

    def step(batch):
        X, y = batch
        n_rows = len(y)
        if n_rows not in shares:
            shares[n_rows] = rates / n_rows
        losses = descend(layers, X.reshape(1, n_rows, -1), y.view(1, 1, -1), shares[n_rows])
        return {"loss": losses[0], "y_pred": None}

    return step
