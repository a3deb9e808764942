"""SGD for chains of linear layers and ReLUs, written out without autograd."""

import torch
from torch import nn
from torch.nn import functional as F

_GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)
# Floats in the 64 bytes of a line of the cache.
ALIGNED = 16


def linear_chain_of(module, row_shape):
    """Return the layers of a module that is a chain of linear layers and ReLUs, else None.

    Only a linear layer or an `nn.Sequential` is a known chain: another ``forward`` may do anything.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    row_shape : tuple of int
        Shape of the rows that it is given.

    Returns
    -------
    chain : list of tuple (str, str or None, bool), or None
        For each linear layer the names of its weight and bias, and whether a ReLU follows.
    """
    if any(getattr(nn.modules.module, hooks) for hooks in _GLOBAL_HOOKS):
        return None
    chain, is_flat = [], len(row_shape) == 1
    for name, layer in _leaves(module):
        if have_hooks(layer) or "forward" in vars(layer):
            return None
        if type(layer) is nn.Linear and is_flat:
            bias = None if layer.bias is None else f"{name}bias"
            chain.append((f"{name}weight", bias, False))
        elif type(layer) is nn.ReLU and chain:
            chain[-1] = (*chain[-1][:2], True)
        elif type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
            is_flat = True
        else:
            return None
    names = {name for layer in chain for name in layer[:2] if name is not None}
    parameters = dict(module.named_parameters())
    # named_parameters lists a shared parameter once: its keys then lack a name that `names` has.
    is_free = all(p.requires_grad and not have_hooks(p) for p in parameters.values())
    # No ReLU follows the last layer of a known chain.
    is_known = parameters.keys() == names and is_free
    return chain if chain and is_known and not chain[-1][2] else None


def have_hooks(part):
    """Whether a module or parameter has hooks, for its use or for its gradient."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    kinds += ("_post_accumulate_grad_hooks",)
    return any(getattr(part, kind, None) for kind in kinds)


def _leaves(module, name=""):
    own = type(module).forward is not nn.Sequential.forward or "forward" in vars(module)
    if own or have_hooks(module):
        yield name, module
        return
    # named_children would list a shared layer once.
    for part, child in module._modules.items():
        yield from _leaves(child, f"{name}{part}.")


def layers_of(chain, parameters):
    """Return the layers of K nets, as `descend` takes them.

    Parameters
    ----------
    chain : list of tuple
        What `linear_chain_of` returns.
    parameters : dict of str to Tensor of shape (K, ...)
        The parameters of all nets, by name.
    """
    biases = {b: parameters[b].unsqueeze(-1) for _, b, _ in chain if b is not None}
    return [(parameters[w], biases.get(b), relu) for w, b, relu in chain]


def descend(layers, X, labels, shares, n_rows=None):
    """Take a step of plain SGD in each of K nets, in place.

    Parameters
    ----------
    layers : list of tuple (Tensor (K, out, in), Tensor (K, out, 1) or None, bool)
        Weights, biases and whether a ReLU follows, from `layers_of`.
    X : Tensor of shape (K, batch_size, in)
        Rows.
    labels : Tensor of shape (K, 1, batch_size)
        Indices of their classes.
    shares : Tensor of shape (K, 1, 1)
        Learning rates, divided by the number of rows that count.
    n_rows : int, default=None
        How many rows of the batch count, the first ones; None: all.

    Returns
    -------
    losses : Tensor of shape (K,)
        Mean cross-entropy before the step.
    """
    inputs = []
    units = X.mT  # One column a row: sums over classes and rows then run along memory.
    for weight, bias, is_rectified in layers:
        inputs.append(units)
        if bias is None:
            units = torch.bmm(weight, units)
        else:
            units = torch.baddbmm(bias, weight, units)
        if is_rectified:
            units.relu_()
    # We multiply the gradient of the logits by -rate. All other gradients are linear in it, so that
    # what we get for each parameter is its whole step, to be added.
    losses, slope = cross_entropy(units, labels, -shares, shares, n_rows)
    for k in reversed(range(len(layers))):
        weight, bias, _ = layers[k]
        below = torch.bmm(weight.mT, slope) if k else None
        if k and layers[k - 1][2]:
            below = _behind_relu(below, inputs[k])
        weight.baddbmm_(slope, inputs[k].mT)
        if bias is not None:
            bias.add_(slope.sum(-1, keepdim=True))
        slope = below
    return losses


def _behind_relu(gradient, units):
    """The gradient before a ReLU that gave these units; the given one may be written over."""
    behind = torch.ops.aten.threshold_backward
    if gradient.device.type != "cpu":
        # The pretend GPU of the tests knows this form only.
        return behind.default(gradient, units, 0)
    # In place: another matrix of this size is another trip to memory.
    return behind.grad_input(gradient, units, 0, grad_input=gradient)


def cross_entropy(logits, labels, scale, minus_scale, n_rows=None):
    """Compute the mean cross-entropy of each net, (K,), and its gradient in the logits.

    Written out, because autograd's own takes a third longer for a whole step.

    Parameters
    ----------
    logits : Tensor of shape (K, n_classes, batch_size)
        Logits.
    labels : Tensor of shape (K, 1, batch_size)
        Indices of the classes.
    scale : Tensor of shape (K, 1, 1) or (1, 1, 1)
        What the gradient of a row's loss is multiplied by.
    minus_scale : Tensor of the same shape
        The same times -1. A caller has one of both anyway.
    n_rows : int, default=None
        How many rows of the batch count, the first ones; None: all.
    """
    is_padded = n_rows is not None and n_rows < labels.shape[2]
    log_proba = F.log_softmax(logits, dim=1)
    losses = log_proba.gather(1, labels)
    if is_padded:
        losses = losses[..., :n_rows]
    losses = losses.mean(dim=(1, 2)).neg_()
    slope = log_proba.exp_().mul_(scale)
    if slope.device.type == "cuda":
        # Made deterministic, `scatter_add_` sorts there, and may wait for the GPU.
        slope.addcmul_(torch.zeros_like(slope).scatter_(1, labels, 1.0), scale, value=-1)
    else:
        slope.scatter_add_(1, labels, minus_scale.expand(labels.shape))
    if is_padded:
        slope[..., n_rows:] = 0
    return losses, slope
