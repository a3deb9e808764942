"""Small tables in every container, and victims that take them: what tests of "any table" share.

`table(container, content)` gives X and y, or None where the container cannot hold the content. The
contents are:

- "numbers": floats and integers from 0 to 1;
- "codes": also categories whose labels are integers, on which y depends most;
- "mixed": also missing cells and categories of text;
- "text": also missing cells, and columns of plain text, dates and booleans.

`victim(name, container, content)` gives a classifier, or None where that kind takes no such table.
"""

import numpy as np
import pandas as pd
import polars as pl
from scipy.sparse import csr_array
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skpoison import MLP, NetClassifier

CONTAINERS = ("numpy", "pandas", "nullable", "pyarrow", "polars", "sparse")
CONTENTS = ("numbers", "codes", "mixed", "text")
VICTIMS = ("boosting", "pipeline", "net")
N_ROWS = 80
TEXTS = np.array(["north", "south", "west"])


def table(container, content, n_rows=N_ROWS, seed=0):
    """X and y, or None; y is text, and a column of the same library as X."""
    rng = np.random.default_rng(seed)
    codes, places = rng.integers(0, 8, n_rows), rng.integers(0, 3, n_rows)
    label = np.where((codes * 3) % 8 + 4 * rng.random(n_rows) > 5, "yes", "no")
    cells = {
        "length": np.round(rng.random(n_rows), 3),
        "width": np.round(0.5 * rng.random(n_rows) + 0.4 * (label == "yes"), 3),
        "count": rng.integers(0, 2, n_rows),
    }
    if container in ("numpy", "sparse"):
        if content != "numbers":
            return None
        X = np.stack(list(cells.values()), axis=1)
        return (X if container == "numpy" else csr_array(X)), label
    if content == "codes":
        cells["code"] = codes
    if content in ("mixed", "text"):
        cells["length"] = np.where(rng.random(n_rows) < 0.2, np.nan, cells["length"])
        cells["place"] = TEXTS[places]
    if content == "text":
        cells["day"] = np.datetime64("2026-11-01", "s") + 86400 * codes
        cells["is_old"] = codes > 3
    if container == "polars":
        return _of_polars(cells, content), pl.Series("label", label)
    index = rng.permutation(n_rows) + 1000
    X, y = pd.DataFrame(cells, index=index), pd.Series(label, index=index, name="label")
    if container != "pandas":
        backend = {"nullable": "numpy_nullable", "pyarrow": "pyarrow"}[container]
        X, y = (part.convert_dtypes(dtype_backend=backend) for part in (X, y))
    for name in {"code"} & set(cells) | ({"place"} if content == "mixed" else set()):
        X[name] = X[name].astype("category")
    return X, y


def _of_polars(cells, content):
    X = pl.DataFrame({name: part.tolist() for name, part in cells.items()}, nan_to_null=True)
    X = X.with_columns(pl.col("length").fill_nan(None))
    if content == "codes":  # Polars has categories of text only.
        X = X.with_columns(pl.col("code").cast(pl.String).cast(pl.Categorical))
    if content == "mixed":
        X = X.with_columns(pl.col("place").cast(pl.Enum(TEXTS.tolist())))
    return X


def victim(name, container, content):
    """An unfitted classifier of the kind `name`, with a seed; or None."""
    if name == "net":
        takes = content == "numbers" and container != "sparse"
        return NetClassifier(MLP, module__width=4, max_epochs=2, random_state=0) if takes else None
    if name == "boosting":
        if container == "sparse" or content == "text":
            return None
        return HistGradientBoostingClassifier(
            categorical_features="from_dtype", max_iter=5, min_samples_leaf=5, random_state=0
        )
    names = ["length", "width", "count"] if container not in ("numpy", "sparse") else [0, 1, 2]
    parts = [("numbers", SimpleImputer() if container != "sparse" else "passthrough", names)]
    texts = {"codes": ["code"], "mixed": ["place"], "text": ["place"]}.get(content, [])
    parts.append(("texts", OneHotEncoder(handle_unknown="ignore"), texts))
    return make_pipeline(ColumnTransformer(parts), LogisticRegression(max_iter=20, tol=1e-2))
