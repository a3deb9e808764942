"""
Budget and width at once
========================

Where does a net break, and does width help? When features are moved (regime A), nets of 16 to 1024
units have lost five points at C = 23 to 26. When labels are flipped (regime C), nets of 64 and 256
units have lost them at 23% to 24% of the labels, narrower and wider ones at 17% to 20%. Nets of
four units seem to break first, but with five folds the intervals are wide.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from skorch.callbacks import LRScheduler

from skpoison import (
    MLP,
    BudgetHeatmapDisplay,
    CleanLabelPGA,
    LabelFlip,
    NetClassifier,
    breaking_point,
)

X, y = load_digits(return_X_y=True)
X = X / 16
decay = [("decay", LRScheduler(policy="CosineAnnealingLR", T_max=20))]
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=20, callbacks=decay)
study = {"param_name": "module__width", "param_range": [4, 16, 64, 256, 1024], "random_state": 0}

# %%
# Regime A moves features, at several corruption rates C. Regime C flips labels, at several rates.
# The red line shows where the mean accuracy of a width has fallen by five points.
attack = CleanLabelPGA(NetClassifier(MLP, lr=0.5, batch_size=32), norm="l2,1", max_iter=30)
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
a = BudgetHeatmapDisplay.from_estimator(
    net, X, y, attack=attack, budgets=[10, 20, 30, 40], drop=0.05, ax=left, **study
)
left.set_title("A: features, sum of norms within C√n")
c = BudgetHeatmapDisplay.from_estimator(
    net,
    X,
    y,
    attack=LabelFlip(),
    budgets=[0.1, 0.2, 0.3, 0.4, 0.5],
    drop=0.05,
    ax=right,
    **study,
)
right.set_title("C: labels to the next class")

# %%
# The breaking points as numbers, each with an interval. From ``high`` on, the whole confidence
# interval of the fall lies over five points; up to ``low``, it lies under five points. There is one
# such interval for each budget, and they are not corrected for the number of budgets. With few
# folds they can be so wide that ``high`` is inf: at no budget does the interval lie over five
# points.
for name, display in {"A": a, "C": c}.items():
    for width in study["param_range"]:
        point = breaking_point(display.curve_, value=width)
        print(f"{name}, width {width:4d}: {point.budget:g} in [{point.low:g}, {point.high:g}]")

# %%
# For one width, bisection finds the breaking point between the budgets of the map.
point = breaking_point(
    net.set_params(module__width=64),
    X,
    y,
    attack=LabelFlip(),
    max_budget=0.5,
    random_state=0,
)
print(f"C, width 64: {point.budget:.3f} in [{point.low:.3f}, {point.high:.3f}]")
