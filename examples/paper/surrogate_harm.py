"""
The harm of a linear and of a convolutional surrogate, side by side
===================================================================

Trains nothing: it reads the tables of Figure 3 (first recipe: linear surrogate; second recipe:
convolutional) and of ``settings.py``, and writes two more. Both recipes have B = 3. Under A they
have C = 800 and C = 500, so that only B is at equal budgets over widths; at width 100 the settings
have A at equal budgets too.

``surrogate_harm_mnist.csv``
    Points of clean test accuracy that the poison costs, against the clean net of the same seed, by
    attack and width, with 95% intervals over seeds (Student's t), and the paired difference.
``surrogate_poison_mnist.csv``
    What the poison at equal budgets is like: share of the rows moved, norms, and the share of the
    moved rows that a linear model and a net, both trained on clean rows, still classify by their
    label.
"""

import argparse
from pathlib import Path

import pandas as pd

from skpoison.study import corrected_interval

RESULTS = Path(__file__).parents[2] / "docs" / "results"
TABLES = {
    "linear": "fig3_width_mnist_first_n10000.csv",
    "conv": "fig3_width_mnist_cpu.csv",
}
SURROGATES = {"linear": "base", "conv": "convolutional surrogate"}
ABOUT = ["score", "moved", "mean_norm", "median_norm", "max_norm", "linear", "conv"]


def losses_of(table):
    """Accuracy lost to each attack on features: a column an attack, a row a width and seed."""
    if "seed" not in table:
        # The older form of the table calls seeds repeats.
        table = table.rename(columns={"repeat": "seed"})
    table = table[table["protocol"] == "paper"]
    if "lr_rule" in table:
        table = table[table["lr_rule"] == "constant"]
    table = table.assign(attack=table["attack"].str.split(",").str[0])
    scores = table.pivot(index=["width", "seed"], columns="attack", values="score")
    return scores[["A", "B"]].rsub(scores["clean"], axis=0)


def harm(tables):
    """Mean harm of each surrogate and of their difference by attack and width, in points."""
    lost = {name: losses_of(table) * 100 for name, table in tables.items()}
    rows = []
    for attack in ("A", "B"):
        pairs = pd.concat({name: values[attack] for name, values in lost.items()}, axis=1)
        pairs["conv - linear"] = pairs["conv"] - pairs["linear"]
        for width, part in pairs.groupby("width"):
            row = {"attack": attack, "width": width}
            for name, values in part.items():
                values = values.dropna()
                if len(values) > 1:
                    drop = corrected_interval(values, 0)
                    row |= {name: drop.mean, f"{name} low": drop.low, f"{name} high": drop.high}
                    row[f"{name} n"] = len(values)
            rows.append(row)
    return pd.DataFrame(rows)


def poison_of(settings):
    """Means and deviations over seeds of what both surrogates' poison is like."""
    parts = []
    for name, setting in SURROGATES.items():
        part = settings[(settings["setting"] == setting) & settings["attack"].isin(["A", "B"])]
        found = part.groupby("attack")[ABOUT].agg(["mean", "std"])
        found.columns = [f"{column} {what}".removesuffix(" mean") for column, what in found.columns]
        found["n"] = part.groupby("attack").size()
        parts.append(found.reset_index().assign(surrogate=name))
    table = pd.concat(parts).sort_values(["attack", "surrogate"], ascending=[True, False])
    return table[["attack", "surrogate", "n", *table.columns.drop(["attack", "surrogate", "n"])]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--cells", type=Path, default=RESULTS / "fig3_width")
    parser.add_argument("--settings", type=Path, default=RESULTS / "settings")
    parser.add_argument("--out", type=Path, default=RESULTS / "settings")
    args = parser.parse_args()
    tables = {name: pd.read_csv(args.cells / file) for name, file in TABLES.items()}
    settings = pd.read_csv(args.settings / "settings_mnist_cpu.csv")
    for name, table in (("harm", harm(tables)), ("poison", poison_of(settings))):
        print(table.to_string(index=False, float_format="{:.3f}".format))
        table.to_csv(args.out / f"surrogate_{name}_mnist.csv", index=False)


if __name__ == "__main__":
    main()
