"""
A toy whose curves fall at both ends
====================================

On a toy of two Gaussians, nets that are too narrow and nets that are too wide both lose accuracy.
When the points are moved (regime B), a net of 1,024 units is better than one of 2 by 0.44 (95%
interval 0.40 to 0.48) and than one of 16,384 by 0.08 (0.05 to 0.11). When labels are flipped
(regime C), a net of 16 units is better than one of 2 by 0.08 (0.03 to 0.13) and than one of 1,024
by 0.21 (0.16 to 0.26).
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from skpoison.study import corrected_interval

# %%
# Two Gaussians at (-5, 0) and (5, 0), every point scaled to norm 1. Each of 200 repeats draws
# points and a net of its own. Regime B moves each training point by 0.975 towards the other class,
# regime C flips 40% of the labels.
REPEATS, WIDTHS = 200, {"B": [2, 16, 256, 1024, 16_384], "C": [2, 16, 256, 1024]}


def draw(n, rng):
    y = torch.randint(2, (REPEATS, n), generator=rng)
    X = torch.randn(REPEATS, n, 2, generator=rng)
    X[..., 0] += 10 * y - 5
    return X / X.norm(dim=2, keepdim=True), y


def poison(X, y, regime, rng):
    if regime == "B":
        return X + 0.975 * torch.stack([1 - 2 * y, 0 * y], dim=2), y
    return X, y ^ (torch.rand(y.shape, generator=rng) < 0.4)


# %%
# The net has two outputs, which are sums of ReLUs with random signs. SGD sees each of 800 points
# once, at a rate of 0.1, and minimises the binary cross-entropy of both outputs. The outputs are
# *not* divided by the root of the width, as the theory divides them, so a step moves the outputs
# more, the wider the net is.
def accuracy(width, regime):
    rng = torch.Generator().manual_seed(0)
    (X, y), (X_test, y_test) = draw(800, rng), draw(200, rng)
    X, y = poison(X, y, regime, rng)
    W = (2 * torch.rand(REPEATS, 2, width, generator=rng) - 1) / 2**0.5
    signs = torch.randint(2, (REPEATS, width, 2), generator=rng) * 2.0 - 1
    for x, own in zip(X.split(1, dim=1), y.T, strict=True):
        hidden = (x @ W).relu_()
        slopes = ((hidden @ signs).sigmoid() - torch.eye(2)[own][:, None]) / 2
        W.baddbmm_(x.mT, (slopes @ signs.mT).mul_(hidden > 0), alpha=-0.1)
    outputs = (X_test @ W).relu_() @ signs
    return (outputs.argmax(dim=2) == y_test).double().mean(dim=1).numpy()


scores = {regime: [accuracy(width, regime) for width in WIDTHS[regime]] for regime in "BC"}

# %%
# Bands are 95% intervals over the repeats, which share no points.
for regime, rows in scores.items():
    means, lows, highs = np.array([corrected_interval(row, 0) for row in rows]).T
    plt.plot(WIDTHS[regime], means, marker="o", label=regime)
    plt.fill_between(WIDTHS[regime], lows, highs, alpha=0.2)
plt.gca().set(xscale="log", xlabel="width", ylabel="accuracy on clean points")
plt.legend(title="regime")

# %%
# How far both ends lie under the net in the middle, which was chosen on other repeats:
for regime, middle in (("B", 3), ("C", 1)):
    rows = scores[regime]
    print(regime, *(corrected_interval(rows[middle] - rows[end], 0) for end in (0, -1)))
