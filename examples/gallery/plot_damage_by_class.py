"""
Damage by class
===============

A mean accuracy hides which classes are hurt. An attack that moves every row by 1 leaves 0, 2, 4
and 6 as they were, and wipes out 8 and 9: 3% of them are recognised. Labels moved to the next class
hurt every digit, the 3 most. If only 7s are relabelled (60% of them become 1s), only that class is
hurt.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import recall_score
from sklearn.model_selection import cross_val_predict

from skpoison import MLP, CleanLabelPGA, LabelFlip, NetClassifier, PoisonedClassifier

X, y = load_digits(return_X_y=True)
X = X / 16
net = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, max_epochs=20, random_state=0)
attacks = {
    "clean": None,
    "features, B = 1": CleanLabelPGA(net, norm="l2,inf", budget=1.0, random_state=0),
    "labels, 30% to the next": LabelFlip(0.3, random_state=0),
    "labels, 60% of the 7s": LabelFlip(
        transition=np.eye(10) + 0.6 * np.outer(np.eye(10)[7], np.eye(10)[1] - np.eye(10)[7]),
        random_state=0,
    ),
}

# %%
# The share of each digit that is recognised by nets that were not trained on it, over five folds.
# The training rows of each fold are poisoned separately.
fig, ax = plt.subplots(figsize=(8, 4))
for k, (name, attack) in enumerate(attacks.items()):
    predicted = cross_val_predict(PoisonedClassifier(net, attack), X, y, cv=5)
    recall = recall_score(y, predicted, average=None)
    ax.bar(np.arange(10) + 0.2 * (k - 1.5), recall, width=0.2, label=name)
    print(f"{name:24s} {recall.mean():.3f}  by digit {recall.round(2)}")
ax.set(xlabel="Digit", ylabel="Recall on clean data", xticks=range(10))
ax.legend(loc="lower center", ncol=2, bbox_to_anchor=(0.5, 1))
