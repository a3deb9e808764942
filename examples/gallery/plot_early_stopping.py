"""
Early stopping as a defence
===========================

A net that stops when its validation accuracy no longer rises loses as much to flipped labels as a
net that trains to the end: the differences are at most 0.02, in both directions, and within the
spread of the folds. On clean labels early stopping costs 0.01, because a fifth of the rows is held
out. The held-out rows are as poisoned as the others.
"""

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_digits

from skpoison import MLP, LabelFlip, NetClassifier, RobustnessCurveDisplay, robustness_curve

X, y = load_digits(return_X_y=True)
net = NetClassifier(MLP, lr=0.1, batch_size=32, max_epochs=100)
stopped = clone(net).set_params(early_stopping=True, n_iter_no_change=10)

# %%
# The net that stops early holds out a fifth of its training rows for validation. These are poisoned
# too, because a defender has no clean rows.
fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, victim, title in ((axes[0], net, "100 epochs"), (axes[1], stopped, "early stopping")):
    curve = robustness_curve(
        victim,
        X / 16,
        y,
        attacks={"clean": None, "30% flipped": LabelFlip(0.3)},
        param_name="module__width",
        param_range=[8, 64, 512],
        cv=5,
        random_state=0,
    )
    RobustnessCurveDisplay.from_curve(curve, score_name="Accuracy on clean data", ax=ax)
    ax.set_title(title)
    print(title)
    for name, table in curve.scores.items():
        print(f"  {name:12s} {table.mean(axis=1).round(3)}")
