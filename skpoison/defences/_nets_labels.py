"""The labels that many nets predict for the same rows."""

import numpy as np
import torch

from ..nets import NetClassifier


def labels_by_net(members, X):
    """Predict the labels of rows with all plain nets among the members of an ensemble.

    A net gets all rows at once, not in its small batches. To a device, rows are copied once for all
    nets; predictions come back together.

    Parameters
    ----------
    members : list of estimator or None
    X : ndarray of shape (n, ...)
        Rows, finite.

    Returns
    -------
    labels : dict of int to ndarray of shape (n,)
        By the identity of each member that is exactly a `NetClassifier`. Empty if the rows do not
        fit into a float32: the nets themselves say what is wrong.
    """
    nets = [member for member in members if type(member) is NetClassifier]
    if not nets or not np.abs(X).max() <= np.finfo(np.float32).max:
        return {}
    rows, places, codes = torch.tensor(X), {}, {}
    with torch.no_grad():
        for net in nets:
            parameter = next(net.module_.parameters())
            # Converted before the copy: not every device has float64.
            place = parameter.device, parameter.dtype
            if place not in places:
                places[place] = rows.to(parameter.dtype).to(parameter.device)
            codes.setdefault(parameter.device, []).append(
                (net, net.logits(places[place]).argmax(dim=1))
            )
    labels = {}
    for pairs in codes.values():
        found = torch.stack([code for _, code in pairs]).cpu().numpy()
        labels.update(
            {id(net): net.classes_[row] for (net, _), row in zip(pairs, found, strict=True)}
        )
    return labels
