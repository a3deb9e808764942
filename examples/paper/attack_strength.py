"""
`CleanLabelPGA` against the paper's recipe, at equal spent budget
=================================================================

The recipe is stochastic gradient ascent on the negated loss, with step 0.1 and batches of 128, for
500 epochs. (Section 5 prints neither step nor epochs.) In regime B the gradient of each row is
divided by its norm. Rows are clipped to the box, and projected onto the budget once an epoch. In
regime A there are two readings: the step multiplies the gradient of the loss averaged over the
batch ("mean", to the letter), or summed over it ("sum"). With "mean" only the smallest C is run:
the attack stays so far inside this budget that a larger one changes nothing, which is checked.

Both attacks use the same surrogate. `CleanLabelPGA` gets as its budget the amount that the recipe
spent. The same victim, with the same seed, is trained on clean data and on both poisoned data. The
script counts gradient evaluations where they happen; one is the gradient of one row.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import data_name, load, make_parser, run_cells, write
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skpoison import (
    CleanLabelPGA,
    Linear,
    MnistConvNet,
    NetClassifier,
    project_l2inf,
    project_l21,
)
from skpoison.study import corrected_interval

MODELS = {"linear": (Linear, {}), "conv": (MnistConvNet, {"module__width": 100})}
CASES = [
    ("l2,1", 300.0, "mean"),
    ("l2,1", 300.0, "sum"),
    ("l2,1", 500.0, "sum"),
    ("l2,1", 1000.0, "sum"),
    ("l2,inf", 2.0, "unit"),
    ("l2,inf", 3.0, "unit"),
]
BATCH, STEP = 128, 0.1
# By scale: rows, epochs of the recipe, steps of CleanLabelPGA ("ours"), epochs of training, number
# of seeds.
SIZES = {
    "smoke": (1000, 50, 10, 20, 2),
    "cpu": (10_000, 500, 100, 20, 5),
    "full": (10_000, 500, 100, 20, 5),
}


class CountingNet(NetClassifier):
    """A net that counts the rows of which an attack computes gradients."""

    rows = 0

    def logits(self, X):
        """Compute logits as NetClassifier does, and count the rows."""
        self.rows += len(X) * torch.is_grad_enabled()
        return super().logits(X)


def negated_loss(net, X, y):
    """The paper's negated loss of each row; y holds indices of classes."""
    return -torch.nn.functional.cross_entropy(-net.logits(X), y, reduction="none")


def recipe(net, X, y, *, norm, budget, reading, n_epochs, generator, step=STEP, with_gaps=False):
    """Run the paper's attack, and return the perturbation.

    With gaps, the rows of an epoch are drawn with replacement, and a row not drawn stays.

    The parameters w* are fixed, so the step of a row depends only on the size of its batch. All
    rows are moved together in an epoch, those of the smaller last batch further. (A test compares
    this with moving one batch after another.)
    """
    X, y = torch.tensor(X, device=net.device_), torch.tensor(y, device=net.device_)
    delta = torch.zeros_like(X)
    n = len(X)
    project, radius = project_l2inf, budget
    if norm == "l2,1":
        project, radius = project_l21, budget * np.sqrt(n)
    shape = (-1,) + (1,) * (X.ndim - 1)
    for _ in range(n_epochs):
        steps = torch.full((n,), step / BATCH, device=X.device)
        last = torch.randperm(n, generator=generator)[n - n % BATCH :]
        steps[last.to(X.device)] = step / max(n % BATCH, 1)
        if reading != "mean":
            steps[:] = step
        if with_gaps:
            drawn = torch.zeros(n, dtype=torch.bool)
            drawn[torch.randint(n, (n,), generator=generator)] = True
            steps[~drawn.to(X.device)] = 0
        for part in torch.arange(n, device=X.device).split(256):
            rows = (X[part] + delta[part]).requires_grad_()
            (gradient,) = torch.autograd.grad(negated_loss(net, rows, y[part]).sum(), rows)
            if reading == "unit":
                lengths = torch.linalg.vector_norm(gradient.flatten(1), dim=1).reshape(shape)
                gradient = gradient / lengths.clamp(min=1e-12)
            moved = rows.detach() + steps[part].reshape(shape) * gradient
            delta[part] = moved.clamp_(0, 1) - X[part]
        delta = project(delta, radius)
    return delta.cpu().numpy()


def compare(scale, model, n, norm, budget, reading, n_epochs, max_iter, train_epochs, seed):
    """Run both attacks; return accuracies, attack losses, spent budgets and gradient counts."""
    args = make_parser("").parse_args(["--scale", scale])
    X, y, X_test, y_test = load(args, n)
    module, kwargs = MODELS[model]
    net = CountingNet(module, lr=0.1, batch_size=BATCH, max_epochs=train_epochs, **kwargs)
    # Surrogate and victim have the same architecture and different first weights.
    surrogate = clone(net).set_params(random_state=seed).fit(X, y)
    victim = clone(net).set_params(random_state=1000 + seed)
    codes = np.searchsorted(surrogate.classes_, y)

    def attack_loss(X):
        X, y = (torch.tensor(part, device=surrogate.device_) for part in (X, codes))
        with torch.no_grad():
            parts = zip(X.split(256), y.split(256), strict=True)
            return float(torch.cat([negated_loss(surrogate, *part) for part in parts]).mean())

    start = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    delta = recipe(
        surrogate,
        X,
        codes,
        norm=norm,
        budget=budget,
        reading=reading,
        n_epochs=n_epochs,
        generator=generator,
    )
    recipe_time = time.perf_counter() - start
    recipe_rows, surrogate.rows = surrogate.rows, 0
    norms = np.linalg.norm(delta.reshape(len(X), -1).astype(float), axis=1)
    # In the units of `budget`: C = S / sqrt(n), or the mean norm of a row.
    spent = norms.sum() / np.sqrt(len(X)) if norm == "l2,1" else norms.mean()

    start = time.perf_counter()
    ours = CleanLabelPGA(
        FrozenEstimator(surrogate),
        norm=norm,
        budget=float(spent),
        max_iter=max_iter,
        batch_size=256,
        random_state=seed,
    )
    X_ours, _ = ours.poison(X, y)
    ours_time = time.perf_counter() - start
    ours_rows = surrogate.rows
    return {
        "spent": spent,
        "spent_ours": ours.budget_spent_ / ours.budget_ * spent,
        "loss_clean": attack_loss(X),
        "loss_recipe": attack_loss(X + delta),
        "loss_ours": attack_loss(X_ours),
        "accuracy_clean": victim.fit(X, y).score(X_test, y_test),
        "accuracy_recipe": victim.fit(X + delta, y).score(X_test, y_test),
        "accuracy_ours": victim.fit(X_ours, y).score(X_test, y_test),
        "gradients_recipe": recipe_rows / len(X),
        "gradients_ours": ours_rows / len(X),
        "fit_time_recipe": recipe_time,
        "fit_time_ours": ours_time,
    }


def main():
    """Run, print the table, write the files."""
    parser = make_parser(__doc__.split("\n")[1], datasets=("mnist",))
    parser.add_argument("--model", choices=MODELS, default="linear")
    parser.add_argument(
        "--epochs", type=int, help="epochs of the recipe; ours takes a fifth as many steps"
    )
    parser.add_argument("--rows", type=int, help="training rows; C is scaled so that S / n stays")
    args = parser.parse_args()
    n, n_epochs, max_iter, train_epochs, n_seeds = SIZES[args.scale]
    factor = 1.0
    if args.rows:
        factor, n = np.sqrt(args.rows / n), args.rows
    if args.epochs:
        n_epochs, max_iter = args.epochs, args.epochs // 5
    cells = [
        {
            "scale": args.scale,
            "model": args.model,
            "n": n,
            "norm": norm,
            "budget": float(round(budget * factor, 3)) if norm == "l2,1" else budget,
            "reading": reading,
            "n_epochs": n_epochs,
            "max_iter": max_iter,
            "train_epochs": train_epochs,
            "seed": seed,
        }
        for seed in range(args.seeds or n_seeds)
        for norm, budget, reading in CASES
    ]
    frame = run_cells(compare, cells, args)
    letter = frame[frame["reading"] == "mean"]
    if not (letter["spent"] < 0.99 * letter["budget"]).all():
        raise RuntimeError("the recipe reached its smallest budget: run the larger ones too")
    groups = frame.groupby(["norm", "budget", "reading"], sort=False)
    print("\nOurs minus the recipe, mean and 95% interval over seeds (paired)\n")
    for (norm, budget, reading), group in groups:
        mean = group.mean(numeric_only=True)
        cells = [f"{norm} {budget:g} {reading}", f"{mean['spent']:.1f}"]
        cells += [f"{mean[f'accuracy_{name}']:.3f}" for name in ("clean", "recipe", "ours")]
        for kind in ("accuracy", "loss"):
            # All seeds share one split: the interval is about seeds.
            difference = corrected_interval(group[f"{kind}_ours"] - group[f"{kind}_recipe"], 0.0)
            cells.append("{:+.4f} [{:+.4f}, {:+.4f}]".format(*difference))
        cells += [f"{mean[f'loss_{name}']:.3f}" for name in ("clean", "recipe", "ours")]
        cells += [f"{mean[f'gradients_{name}']:.0f}" for name in ("recipe", "ours")]
        print(f"| {' | '.join(cells)} |")
    write(args, f"attack_strength_{args.model}", frame, draw(groups, args), sizes=SIZES[args.scale])


def draw(groups, args):
    """Draw the accuracies of the victims side by side."""
    figure, ax = plt.subplots(figsize=(8, 4))
    columns = ["accuracy_clean", "accuracy_recipe", "accuracy_ours"]
    means, stds = groups[columns].mean(), groups[columns].std()
    means.index = stds.index = ["\n".join(map(str, key)) for key in means.index]
    means.columns = stds.columns = ["clean", "the paper's recipe", "CleanLabelPGA"]
    means.plot.bar(yerr=stds, rot=0, capsize=2, ax=ax)
    ax.set_xlabel("Norm, budget given to the recipe, reading of its step")
    ax.set_ylabel("Accuracy on clean test data")
    ax.set_title(f"{args.model} on {data_name(args)}, equal spent budget")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    return figure


if __name__ == "__main__":
    main()
