"""A classifier that predicts by all that it can learn from the frames that it is given."""

from hashlib import blake2b

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin


class Nosy(ClassifierMixin, BaseEstimator):
    """Whatever leaks into it, from other rows of the training set or of the batch, changes it."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.told_ = (told(X), y.tolist(), self.random_state)
        return self

    def predict(self, X):
        codes = [
            int.from_bytes(blake2b(repr((self.told_, told(X[k : k + 1]))).encode()).digest(), "big")
            for k in range(len(X))
        ]
        return np.array([self.classes_[code % len(self.classes_)] for code in codes])


def told(X):
    """Columns, dtypes, categories, codes, cells, the index if rows are many, and the layout."""
    if not isinstance(X, pd.DataFrame):
        return type(X), repr(X.schema), X.rows()
    index = X.index.tolist() if len(X) > 1 else None
    columns = [X.iloc[:, k] for k in range(X.shape[1])]
    return type(X), X.columns.tolist(), index, [told_of_column(column) for column in columns]


def told_of_column(column):
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.tolist()
        return column.cat.categories.tolist(), column.cat.ordered, codes
    values = column.to_numpy()
    return str(column.dtype), values.strides if len(values) > 1 else None, column.tolist()
