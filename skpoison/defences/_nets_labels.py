"""The labels that many nets predict for the same rows, and the logits behind them."""

import numpy as np
import torch

from ..nets import NetClassifier


def outputs_by_net(members, X, *, with_logits):
    """Predict the labels of rows with all plain nets among the members of an ensemble.

    A net gets all rows at once, not in its small batches. To a device, rows are copied once for all
    nets; predictions come back together.

    Parameters
    ----------
    members : list of estimator or None
    X : ndarray of shape (n, ...)
        Rows, finite.
    with_logits : bool
        Whether to return logits too.

    Returns
    -------
    outputs : dict of int to tuple
        By the identity of each member that is exactly a `NetClassifier`: the labels, (n,), and the
        logits in the order of its `classes_`, (n, n_classes), or None. Empty if the rows do not fit
        into a float32: the nets themselves say what is wrong.
    """
    nets = [member for member in members if type(member) is NetClassifier]
    if not nets or not np.abs(X).max() <= np.finfo(np.float32).max:
        return {}
    rows, places, found = torch.tensor(X), {}, {}
    with torch.no_grad():
        for net in nets:
            parameter = next(net.module_.parameters())
            # Converted before the copy: not every device has float64.
            place = parameter.device, parameter.dtype
            if place not in places:
                places[place] = rows.to(parameter.dtype).to(parameter.device)
            logits = net.logits(places[place])
            codes = logits.argmax(dim=1)
            # Nets that know different labels have logits of different shapes.
            kind = parameter.device, logits.shape[1], logits.dtype
            found.setdefault(kind if with_logits else parameter.device, []).append(
                (net, codes, logits if with_logits else None)
            )
    outputs = {}
    for group in found.values():
        members, codes, logits = zip(*group, strict=True)
        codes = torch.stack(codes).cpu().numpy()
        logits = torch.stack(logits).cpu().numpy() if with_logits else logits
        for net, code, score in zip(members, codes, logits, strict=True):
            outputs[id(net)] = net.classes_[code], score
    return outputs
