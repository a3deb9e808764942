"""
How much poison does a net take, and at which width?
====================================================

One hidden layer of 2 to 4096 units is trained on scikit-learn's digits, clean and under the three
attacks of Wang, Mianjy and Arora (ICML 2021), and scored on clean rows that were held out. With
clean data wider is no worse. With flipped labels (C) there is a best width: narrow nets cannot
learn the digits, wide ones learn the flips.

Training is plain SGD at rate 0.5, batch 32, 30 epochs. The rate falls to 0 along a cosine: at a
constant rate the noise of the last epoch hides most of what the width does. Attacks on features (A
and B) look at a net of width 100, trained in the same way, as in the paper.

A and B move images, not labels. Their budgets are chosen so that a fall is seen that is not a fall
to nothing: with half of them (C = 15, B = 0.5) a net of width 100 loses less than a point, see
plot_attack_vs_noise.py; these digits have a norm of about 3.9.

With ``--repeats 3`` the intervals under the table are worth reading.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from skorch.callbacks import LRScheduler

from skpoison import (
    MLP,
    CleanLabelPGA,
    LabelFlip,
    NetClassifier,
    RobustnessCurveDisplay,
    robustness_curve,
)

parser = argparse.ArgumentParser(description="Clean accuracy over width, clean and poisoned.")
parser.add_argument("--out", type=Path, default=Path(), help="folder for the csv and png")
parser.add_argument("--repeats", type=int, default=1, help="repeats of the 5 folds, new seeds")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--jobs", type=int, default=2)
parser.add_argument("--memory", default=None, help="folder that makes the run resumable")
args = parser.parse_args()

X, y = load_digits(return_X_y=True)
decay = LRScheduler(policy="CosineAnnealingLR", T_max=30)
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=30, callbacks=[("decay", decay)])
surrogate = clone(net).set_params(module__width=100)
curve = robustness_curve(
    net,
    X / 16,
    y,
    attacks={
        "clean": None,
        "A": CleanLabelPGA(surrogate, norm="l2,1", budget=30.0),
        "B": CleanLabelPGA(surrogate, norm="l2,inf", budget=1.0),
        "C": LabelFlip(0.3),
    },
    param_name="module__width",
    param_range=[2, 4, 16, 64, 256, 1024, 4096],
    cv=StratifiedKFold(5, shuffle=True, random_state=args.seed),
    n_repeats=args.repeats,
    n_jobs=args.jobs,
    memory=args.memory,
    random_state=args.seed,
    progress=True,
)

frame = curve.to_frame()
scores = frame.groupby(["module__width", "attack"], sort=False)["score"]
table = scores.agg(lambda s: f"{s.mean():.3f} ± {s.std():.3f}").unstack(sort=False)
print("\nClean accuracy (mean ± standard deviation over folds and repeats)\n")
print(table.to_string())
for name in curve.scores:
    shape = curve.u_shape(name)
    print(
        f"\n{name}: best width {shape.peak.param}; narrowest {shape.left.mean:+.3f} "
        f"[{shape.left.low:+.3f}, {shape.left.high:+.3f}] and widest {shape.right.mean:+.3f} "
        f"[{shape.right.low:+.3f}, {shape.right.high:+.3f}] under it: "
        f"{'a U' if shape.is_u else 'no U'}"
    )

args.out.mkdir(parents=True, exist_ok=True)
frame.to_csv(args.out / "width_curve.csv", index=False)
display = RobustnessCurveDisplay.from_curve(curve, score_name="Accuracy on clean data")
display.figure_.savefig(args.out / "width_curve.png", dpi=150, bbox_inches="tight")
