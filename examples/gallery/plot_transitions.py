"""
Which label becomes which
=========================

In each case 37% of the labels are wrong. A net of 64 units loses 0.09 of its accuracy if a wrong
label is any other class, 0.26 if it is always the next class, and 0.35 if it is a look-alike. When
wrong labels spread over nine classes, the right label of a class still has the majority by far.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_score

from skpoison import MLP, LabelFlip, NetClassifier, PoisonedClassifier

X, y = load_digits(return_X_y=True)
X = X / 16

# %%
# A matrix holds the probabilities with which a row of class i gets the label j. This one confuses
# digits that look alike: 3 and 8, 1 and 7, 4 and 9, 5 and 6.
pairs = np.eye(10)
for i, j in ((3, 8), (1, 7), (4, 9), (5, 6)):
    pairs[[i, j], [j, i]] = 0.45
    pairs[[i, j], [i, j]] = 0.55
attacks = {
    "next class": LabelFlip(0.36, random_state=0),
    "any class": LabelFlip(0.36, transition="uniform", random_state=0),
    "look-alikes": LabelFlip(transition=pairs, random_state=0),
}

fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, (name, attack) in zip(axes, attacks.items(), strict=True):
    _, y_poisoned = attack.poison(X, y)
    ConfusionMatrixDisplay.from_predictions(
        y, y_poisoned, normalize="true", include_values=False, cmap="Blues", colorbar=False, ax=ax
    )
    ax.set(xlabel="Label after", ylabel="Label before")
    ax.set_title(f"{name}: {np.mean(y_poisoned != y):.0%} changed")

# %%
# A net of 64 units, trained on each and scored on clean held-out rows:
net = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, max_epochs=20, random_state=0)
for name, attack in {"clean": None, **attacks}.items():
    scores = cross_val_score(PoisonedClassifier(net, attack), X, y, cv=5)
    print(f"{name:12s} {scores.mean():.3f} ± {scores.std(ddof=1):.3f}")
