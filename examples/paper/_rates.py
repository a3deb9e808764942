"""How the rate of SGD depends on the width of the net, and what was tried in its place.

A fixed rate is an ever larger step in function space as a hidden layer gets wider: the squared
gradient of a logit in the weights of the last layer grows as the width, and hardly in the others.
"""

# Up to this width all rules but "chosen" have the same rates.
FROM_WIDTH = 1000
LR_RULES = ("constant", "last/width", "all/width", "chosen")
# What the rate is multiplied by: "chosen" takes the best of these on the held-out fold, and
# of equals the first.
CANDIDATES = (1.0, 0.3, 3.0, 0.1)
# A small rate learns less in an epoch.
MORE_EPOCHS = {"constant": 1, "last/width": 1, "all/width": 2, "chosen": 1}


def rates_of(rule, base, width):
    """The rate of all layers but the last, and the rate of the last.

    Parameters
    ----------
    rule : {"constant", "last/width", "all/width"}
        A net with rule "chosen" is one with the rule "constant" and another `base`.
    base : float
        The rate up to 1,000 units.
    width : int
    """
    scaled = base * min(1.0, FROM_WIDTH / width)
    return {
        "constant": (base, base),
        "last/width": (base, scaled),
        "all/width": (scaled, scaled),
    }[rule]


def candidates_of(base):
    """The rates that the rule "chosen" tries: the product's digits as one would write them."""
    return [float(f"{base * factor:.6g}") for factor in CANDIDATES]


def with_rates(net, lr, lr_last, last_layer):
    """Set the rates of an untrained NetClassifier.

    Parameters
    ----------
    net : NetClassifier
    lr, lr_last : float
        Of all layers but the last, and of the last.
    last_layer : str
        Pattern of the names of the last layer's parameters.
    """
    net.set_params(lr=lr)
    if lr_last != lr:
        net.set_params(optimizer__param_groups=[(last_layer, {"lr": lr_last})])
    return net
