"""
Which labels to flip
====================

Move 20% of the labels to the next class. If the rows are drawn at random, a net of 64 units loses
0.05 of its accuracy. If they are the rows nearest to a surrogate's decision border ("margin"), it
loses 0.12. If they are the rows whose new label surprises the surrogate most ("loss"), 0.20.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from skpoison import MLP, LabelFlip, NetClassifier, PoisonedClassifier

X, y = load_digits(return_X_y=True)
X = X / 16

# %%
# The surrogate may be any classifier that scores its classes; here it is linear. With the same seed
# all selections flip the same number of rows.
attacks = {
    selection: LabelFlip(
        0.2,
        sampling="exact",
        selection=selection,
        surrogate=LogisticRegression(C=0.1),
        random_state=0,
    )
    for selection in ("random", "margin", "loss")
}
net = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, max_epochs=20, random_state=0)
scores = {"clean": cross_val_score(net, X, y, cv=5)}
for name, attack in attacks.items():
    scores[name] = cross_val_score(PoisonedClassifier(net, attack), X, y, cv=5)
for name, values in scores.items():
    print(f"{name:6s} {values.mean():.3f} ± {values.std(ddof=1):.3f}")

# %%
# The share of each class that is flipped. "loss" flips over half of the zeros and threes, which the
# surrogate separates best from the next digit, and leaves other classes alone.
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for shift, (name, attack) in enumerate(attacks.items()):
    flipped = np.isin(np.arange(len(y)), attack.fit(X, y).poison_indices_)
    shares = [flipped[y == digit].mean() for digit in range(10)]
    ax.bar(np.arange(10) + (shift - 1) * 0.27, shares, width=0.27, label=name)
ax.set(xlabel="Digit", ylabel="Share flipped", xticks=range(10))
ax.legend()
