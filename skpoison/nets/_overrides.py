"""Whether a net trains in its user's own way: then skorch's loop runs, which calls all hooks."""

# What skorch's loop calls for each batch, and our shorter loop does not.
_STEPS = (
    "evaluation_step",
    "get_loss",
    "get_train_step_accumulator",
    "infer",
    "notify",
    "on_batch_begin",
    "on_batch_end",
    "on_grad_computed",
    "train_step",
    "train_step_single",
    "validation_step",
    "_set_training",
    "_step_optimizer",
    "_zero_grad_optimizer",
)


def replaces(net, base, names=_STEPS):
    """Whether a net has methods of its own, by a subclass of `base` or set on the object itself.

    Parameters
    ----------
    net : NetClassifier
    base : type
        Where the methods come from if nobody replaced them.
    names : tuple of str, default=those that a training step calls
        Names of the methods.
    """
    own = vars(net)
    return any(name in own or getattr(type(net), name) is not getattr(base, name) for name in names)


def has_methods_of_its_own(net):
    """Whether any method of the class is replaced on this object: ``net.get_loss = function``."""
    return any(callable(getattr(type(net), name, None)) for name in vars(net))
