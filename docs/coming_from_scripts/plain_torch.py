import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from torch import nn


def train_net(X, y, width, seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    loss = nn.CrossEntropyLoss()
    for _ in range(20):
        order = torch.randperm(len(X))
        for start in range(0, len(X) - 31, 32):
            rows = order[start : start + 32]
            optimizer.zero_grad()
            loss(module(X[rows]), y[rows]).backward()
            optimizer.step()
    return module.eval()


X, y = load_digits(return_X_y=True)
X_tensor = torch.tensor(X / 16, dtype=torch.float32)
widths = [4, 64, 1024]
rates = {"clean": 0.0, "30% flipped": 0.3}
scores = {name: np.empty((len(widths), 5)) for name in rates}
for fold, (train, test) in enumerate(StratifiedKFold(5).split(X, y)):
    for name, rate in rates.items():
        rng = np.random.default_rng(fold)
        flip = rng.random(len(train)) < rate
        y_poisoned = torch.tensor(np.where(flip, (y[train] + 1) % 10, y[train]))
        for i, width in enumerate(widths):
            module = train_net(X_tensor[train], y_poisoned, width, fold)
            with torch.no_grad():
                predicted = module(X_tensor[test]).argmax(dim=1).numpy()
            scores[name][i, fold] = (predicted == y[test]).mean()

fig, ax = plt.subplots()
for name, table in scores.items():
    ax.errorbar(widths, table.mean(axis=1), table.std(axis=1), label=name)
ax.set(xscale="log", xlabel="width", ylabel="Score on clean data")
ax.legend()
fig.savefig("curve.png")
print({name: table.mean(axis=1).round(3).tolist() for name, table in scores.items()})
