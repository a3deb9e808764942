import matplotlib.pyplot as plt
import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from torch import nn

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
widths = [4, 64, 1024]
rates = {"clean": 0.0, "30% flipped": 0.3}
scores = {name: np.empty((len(widths), 5)) for name in rates}
for fold, (train, test) in enumerate(StratifiedKFold(5).split(X, y)):
    for name, rate in rates.items():
        rng = np.random.default_rng(fold)
        flip = rng.random(len(train)) < rate
        y_poisoned = np.where(flip, (y[train] + 1) % 10, y[train])
        for i, width in enumerate(widths):
            torch.manual_seed(fold)
            np.random.seed(fold)
            module = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
            classifier = PyTorchClassifier(
                model=module,
                loss=nn.CrossEntropyLoss(),
                optimizer=torch.optim.SGD(module.parameters(), lr=0.5),
                input_shape=(64,),
                nb_classes=10,
                clip_values=(0.0, 1.0),
            )
            classifier.fit(X[train], y_poisoned, batch_size=32, nb_epochs=20, drop_last=True)
            predicted = classifier.predict(X[test]).argmax(axis=1)
            scores[name][i, fold] = (predicted == y[test]).mean()

fig, ax = plt.subplots()
for name, table in scores.items():
    ax.errorbar(widths, table.mean(axis=1), table.std(axis=1), label=name)
ax.set(xscale="log", xlabel="width", ylabel="Score on clean data")
ax.legend()
fig.savefig("curve.png")
print({name: table.mean(axis=1).round(3).tolist() for name, table in scores.items()})
