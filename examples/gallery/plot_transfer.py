"""
A surrogate unlike the victim
=============================

An attack need not know its victim. With a logistic regression as surrogate it harms nets of any
width nearly as much as with a net as surrogate. It harms a decision tree, which has no gradients,
most of all: accuracy falls from 0.86 to 0.05. Only the vote of five neighbours keeps 0.9. Nor is a
surrogate like the victim the most harmful: for four of the five victims that is the widest net or
the linear model.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from skpoison import MLP, CleanLabelPGA, NetClassifier, PoisonedClassifier, RandomNoise

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)


def mlp(width, seed):
    return NetClassifier(
        MLP, module__width=width, lr=0.5, batch_size=32, max_epochs=20, random_state=seed
    )


victims = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "MLP of 16": mlp(16, 0),
    "MLP of 512": mlp(512, 0),
    "5 neighbours": KNeighborsClassifier(),
    "tree": DecisionTreeClassifier(random_state=0),
}
surrogates = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "MLP of 16": mlp(16, 1),
    "MLP of 512": mlp(512, 1),
}

# %%
# A surrogate needs gradients, a victim does not. Every attack moves each row by at most 1.
attacks = {"none": None, "noise": RandomNoise(norm="l2,inf", budget=1.0, random_state=0)}
for name, surrogate in surrogates.items():
    attacks[name] = CleanLabelPGA(surrogate, norm="l2,inf", budget=1.0, max_iter=50, random_state=0)
scores = np.array(
    [
        [
            PoisonedClassifier(victim, attack).fit(X_train, y_train).score(X_test, y_test)
            for victim in victims.values()
        ]
        for attack in attacks.values()
    ]
)

fig, ax = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
ax.imshow(scores, cmap="RdYlGn", vmin=0, vmax=1)
for (i, j), score in np.ndenumerate(scores):
    ax.text(j, i, f"{score:.2f}", ha="center", va="center")
ax.set_xticks(range(len(victims)), victims, rotation=20, ha="right")
ax.set_yticks(range(len(attacks)), attacks)
ax.set(xlabel="Victim", ylabel="Surrogate that the attack looked at")
ax.set_title("Accuracy on clean data")
print(scores.round(3))
