"""How often verdicts are false and intervals cover, over simulated curves.

    python tools/simulate_intervals.py            # the table of docs/guarantees.md, 15 minutes
    python tools/simulate_intervals.py --curves 100 --only "held-out"

A cell of the table is a kind of study. Each of its curves is drawn anew, from the seed and the
number of the curve. Columns: false verdicts of `u_shape` on flat curves, and on curves whose first
value is truly worse (both in percent; nominal 2.5); how often the interval of the last value covers
its true drop of 0 (nominal 95); and power: how often a curve whose first and last value are truly
worse is called a U.

The model of held-out folds: a score is its mean, plus an error of its fold, plus one of its seed.
The share `rho` of a fold's error is common to all folds, because they share training rows.

The model of a fixed test set: a row is predicted right if the sum of its difficulty, its luck with
the value, the luck of the fit, and noise is above 0. The luck of a fit is the mean over the
training blocks that it has seen (all but that of its fold), plus that of its seed.

Breaking points: the true fall is the budget, at 9 budgets from 0 to 0.4; the interval covers if
[low, high] holds the drop.
"""

import argparse
import math

import numpy as np

from skpoison import RobustnessCurve, breaking_point

LEFT, RIGHT = 0.05, 0.015  # how far an end lies under the rest where it is worse
SD_FOLD = SD_SEED = 0.01


def held_out(rng, means, n_folds, n_repeats, rho, failed=0.0):
    """The table of a study that is scored on held-out folds."""
    n = len(means)
    common = math.sqrt(rho) * rng.standard_normal((n, 1, 1))
    folds = common + math.sqrt(1 - rho) * rng.standard_normal((n, 1, n_folds))
    seeds = rng.standard_normal((n, n_repeats, n_folds))
    table = np.array(means)[:, None, None] + SD_FOLD * folds + SD_SEED * seeds
    table = table.reshape(n, -1)
    if failed:
        table[rng.random(table.shape) < failed] = np.nan
    return {}, table


def fixed_test(rng, means, n_folds, n_repeats, n_test, sd_train=0.02, sd_seed=0.04):
    """The table of a study with a fixed test set, and which rows each fit predicts right."""
    n = len(means)
    blocks = sd_train * math.sqrt(n_folds) * rng.standard_normal((n, n_folds))
    seen = (blocks.sum(axis=1, keepdims=True) - blocks) / (n_folds - 1)
    fits = seen[:, None] + sd_seed * rng.standard_normal((n, n_repeats, n_folds))
    fits = fits.reshape(n, -1, 1)
    rows = 1.5 + rng.standard_normal((1, 1, n_test)) + 0.5 * rng.standard_normal((n, 1, n_test))
    noise = 0.5 * rng.standard_normal((n, n_folds * n_repeats, n_test), dtype=np.float32)
    # The slope of the share of rows predicted right, at 1.5 of a variance of 1.5.
    slope = math.exp(-0.75) / math.sqrt(2 * math.pi * 1.5)
    hits = rows + fits + np.array(means)[:, None, None] / slope + noise > 0
    return {"n_test": n_test, "hits": np.packbits(hits, axis=-1)}, hits.mean(axis=2)


def repeated(rng, means, n_folds, n_repeats, n_rows=200):
    """The table of a repeated splitter. A row has an effect if held out, another if trained on."""
    n = len(means)
    held = 0.1 * rng.standard_normal((n, n_rows))
    trained = 0.05 * rng.standard_normal((n, n_rows))
    columns, parts = [], []
    for _ in range(n_repeats):
        for part in np.array_split(rng.permutation(n_rows), n_folds):
            rest = np.setdiff1d(np.arange(n_rows), part)
            columns.append(held[:, part].mean(axis=1) + trained[:, rest].mean(axis=1))
            parts.append(part)
    table = np.array(means)[:, None] + np.stack(columns, axis=1)
    table += SD_SEED * rng.standard_normal(table.shape)
    held_out = np.zeros((len(parts), n_rows), dtype=int)
    for k, part in enumerate(parts):
        held_out[k, part] = 1
    return {"sharing": (held_out @ held_out.T > 0).tolist()}, table


def curve_of(found, n_folds, n_repeats, ratio=None):
    more, table = found
    if "hits" in more:
        more = {**more, "hits": {"C": more["hits"]}}
    tables = [{"C": table}] * 3
    ratio = 1 / (n_folds - 1) if ratio is None else ratio
    return RobustnessCurve("w", list(range(len(table))), *tables, n_folds, n_repeats, ratio, **more)


def cells():
    """Name, function of (rng, means) to a curve, number of values."""
    for n in (3, 7, 12):
        for folds in (5, 10):
            for repeats in (1, 4, 10):
                for rho in (0, 1 / folds):
                    yield (
                        f"held-out, {n} values, {folds} folds, {repeats} repeats, rho {rho:g}",
                        lambda rng, means, f=folds, r=repeats, c=rho: curve_of(
                            held_out(rng, means, f, r, c), f, r
                        ),
                        n,
                    )
    yield (
        "held-out, 7 values, 5 folds, 4 repeats, rho 0.2, 2% of fits failed",
        lambda rng, means: curve_of(held_out(rng, means, 5, 4, 0.2, failed=0.02), 5, 4),
        7,
    )
    for n in (3, 7):
        yield (
            f"RepeatedKFold, {n} values, 5 folds, 4 times",
            lambda rng, means: curve_of(repeated(rng, means, 5, 4), 20, 1, ratio=0.25),
            n,
        )
    for n, repeats, n_test in (
        (7, 1, 2000), (3, 4, 2000), (7, 4, 500), (7, 4, 2000), (7, 4, 10_000), (7, 10, 2000),
        (12, 4, 2000),
    ):  # fmt: skip
        yield (
            f"test=, {n} values, 5 folds, {repeats} repeats, {n_test} test rows",
            lambda rng, means, r=repeats, t=n_test: curve_of(fixed_test(rng, means, 5, r, t), 5, r),
            n,
        )


def verdicts(make, n, n_curves, seed):
    """Percent of false verdicts (flat; first value worse), coverage and power."""
    flat, worse, both = np.zeros(n), np.zeros(n), np.zeros(n)
    worse[0] = both[0] = -LEFT
    both[-1] = -RIGHT
    counts = np.zeros(4)
    for number in range(n_curves):
        for k, means in enumerate((flat, worse, both)):
            shape = make(np.random.default_rng([seed, number, k]), means).u_shape("C")
            counts[(0, 1, 3)[k]] += shape.is_u is True
            if k == 1:
                counts[2] += shape.right.low <= 0 <= shape.right.high
    return 100 * counts / n_curves


def breaking(n_curves, seed, n_folds, n_repeats, rho):
    """Percent of intervals of a breaking point that hold the true one, 0.23."""
    budgets = [k / 20 for k in range(9)]
    covered = 0
    for number in range(n_curves):
        rng = np.random.default_rng([seed, number])
        _, table = held_out(rng, [0.9 - b for b in budgets], n_folds, n_repeats, rho)
        tables = {f"{b:g}": row[None] for b, row in zip(budgets, table, strict=True)}
        curve = RobustnessCurve("w", [1], *[tables] * 3, n_folds, n_repeats, 1 / (n_folds - 1))
        point = breaking_point(curve, drop=0.23)
        covered += point.low <= 0.23 <= point.high
    return 100 * covered / n_curves


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=int, default=2000, help="curves of a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cells whose name has this in it")
    args = parser.parse_args()
    print("| study | flat | first worse | covers | power |")
    print("|---|---|---|---|---|")
    for name, make, n in cells():
        if args.only in name:
            row = verdicts(make, n, args.curves, args.seed)
            print(f"| {name} |", " | ".join(f"{value:.1f}" for value in row), "|", flush=True)
    for folds, repeats, rho in ((5, 1, 0.2), (5, 4, 0.2), (10, 4, 0.1)):
        name = f"breaking point, {folds} folds, {repeats} repeats, rho {rho:g}"
        if args.only in name:
            covered = breaking(args.curves, args.seed, folds, repeats, rho)
            print(f"| {name} | | | {covered:.1f} | |", flush=True)


if __name__ == "__main__":
    main()
