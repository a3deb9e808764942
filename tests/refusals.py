"""Bad input is a clear error, and changes nothing: the checker, and what several packages refuse.

Each package has a table of its own, beside its tests. A case of a table says what is called, which
error it must raise, and what the message must name.
"""

import re
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from sklearn.utils.fixes import parse_version

from makers import FRAME, HOLED, IMAGES, INF, KEPT, NAN, X, Y, holed, keep
from world import state_of_the_world, torch_threads

# What scikit-learn itself refuses since this version, and took before.
REFUSED_SINCE_1_9 = ("X same column names", "predict: words for y", "study: test words")
REFUSES_MORE = parse_version(sklearn.__version__) >= parse_version("1.9")
NOT_REAL = ["1", None, True, [1.0], 1j, np.array([1.0])]
BAD_X = {
    "NaN": (HOLED[NAN], ValueError, "contains NaN"),
    "inf": (HOLED[INF], ValueError, "contains infinity"),
    "-inf": (HOLED[-INF], ValueError, "contains infinity"),
    "no rows": (X[:0], ValueError, r"0 sample\(s\)"),
    "no features": (X[:, :0], ValueError, r"0 feature\(s\)"),
    "one axis": (X[:, 0], ValueError, "Expected 2D array, got 1D array"),
    "no axis": (np.array(1.0), ValueError, "Expected 2D array, got scalar"),
    "a number": (3.0, ValueError, "Expected 2D array, got scalar"),
    "None": (None, ValueError, "Expected 2D array, got scalar"),
    "a word": ("abc", ValueError, "Expected 2D array, got scalar"),
    "ragged": ([[1, 2], [3]] * 20, ValueError, "inhomogeneous"),
    "sparse matrix": (scipy.sparse.csr_matrix(X), TypeError, "[Ss]parse"),
    "sparse array": (scipy.sparse.csr_array(X), TypeError, "[Ss]parse"),
    "words": (X.astype(str), ValueError, "not compatible with arrays of bytes/strings"),
    "bytes": (X.astype("S"), ValueError, "not compatible with arrays of bytes/strings"),
    "objects": (np.full(X.shape, "a", object), ValueError, "could not convert string to float"),
    "complex": (keep(X + 1j), ValueError, "Complex data not supported"),
    "records": (np.zeros(40, [("a", "f8"), ("b", "f8")]), ValueError, "Expected 2D array, got 1D"),
    "images with NaN": (holed(NAN, IMAGES.shape), ValueError, "contains NaN"),
    "no images": (IMAGES[:0], ValueError, r"0 sample\(s\)"),
    "empty images": (IMAGES[:, :, :0], ValueError, r"0 feature\(s\)"),
    "complex images": (keep(IMAGES + 1j), ValueError, "Complex data not supported"),
    "frame of words": (FRAME.assign(a="x"), ValueError, "could not convert string to float: 'x'"),
    "frame with NA": (
        FRAME.convert_dtypes().assign(a=pd.array([None] + [0.5] * 39, "Float64")),
        ValueError,
        "contains NaN",
    ),
    "same column names": (
        pd.DataFrame(X, columns=list("aabbcc")),
        Exception,
        "Expected unique column names",
    ),
    "too large": (
        np.full((40, 6), np.longdouble("1e400")),
        ValueError,
        "X must have values that float64 can hold, got larger ones",
    ),
    "mixed column names": (
        pd.DataFrame(X, columns=["a", "b", 1, 2, 3, 4]),
        TypeError,
        "Feature names are only supported if all input features have string names",
    ),
}
BAD_Y = {
    "None": (None, ValueError, "y must be given.*y to be passed, but the target y is None"),
    "one class": (np.zeros(40), ValueError, r"at least 2 classes, got 1 class: \[0.0\]"),
    "one class of zeros": (np.where(Y, 0.0, -0.0), ValueError, "at least 2 classes, got 1 class"),
    "continuous": (X[:, 0], ValueError, "Unknown label type: continuous"),
    "halves": (Y + 0.5, ValueError, "Unknown label type: continuous"),
    "too short": (Y[:5], ValueError, "one label for each row of X: 40 rows, got 5 labels"),
    "too long": (np.r_[Y, Y], ValueError, "one label for each row of X: 40 rows, got 80 labels"),
    "no labels": ([], ValueError, "one label for each row of X: 40 rows, got 0 labels"),
    "two columns": (np.stack([Y, Y], axis=1), ValueError, r"1d array, got .*shape \(40, 2\)"),
    "one-hot": (np.eye(4)[Y], ValueError, r"should be a 1d array, got an array of shape \(40, 4\)"),
    "a number": (1, ValueError, r"should be a 1d array, got an array of shape \(\)"),
    "a word": ("abc", ValueError, r"should be a 1d array, got an array of shape \(\)"),
    "NaN": (np.where(Y, 1.0, NAN), ValueError, "Input y contains NaN"),
    "inf": (np.where(Y, 1.0, INF), ValueError, "Input y contains infinity"),
    "None among words": (np.where(Y, "a", None), ValueError, "10 missing .*Input y contains NaN"),
    "NaN among words": (np.array(["a", NAN] * 20, object), ValueError, "contains NaN"),
    "bytes": (Y.astype("S"), TypeError, "labels represented as bytes is not supported"),
    "objects": (Y.astype(object), ValueError, "Unknown label type: unknown"),
    "complex": (Y + 0j, ValueError, "Complex data not supported"),
    "sparse": (scipy.sparse.csr_matrix(Y), TypeError, "Sparse data was passed for y"),
    "nullable with NA": (
        pd.Series(pd.array([None, *Y[1:]], "Int64")),
        ValueError,
        "Input y contains NaN",
    ),
    "a frame": (pd.DataFrame({"a": Y, "b": Y}), ValueError, r"shape \(40, 2\)"),
    "ragged": ([[1], [2, 3]] * 20, ValueError, "inhomogeneous"),
}
# What an attack on labels refuses of `BAD_X`, because it does not read X: what has no rows.
UNREAD_WORDS = {
    "no rows": (ValueError, "one label for each row of X: 0 rows, got 40 labels"),
    "no images": (ValueError, "one label for each row of X: 0 rows, got 40 labels"),
    "no axis": (TypeError, "X must have rows: .* at least 1 dimension"),
    "a number": (TypeError, "X must have rows: Expected sequence or array-like, got .*float"),
    "None": (TypeError, "X must have rows: Expected sequence or array-like, got .*NoneType"),
    "a word": (ValueError, "one label for each row of X: 3 rows, got 40 labels"),
    **{name: BAD_X[name][1:] for name in ("same column names", "mixed column names")},
}
UNREAD_X = {name: (BAD_X[name][0], *refusal) for name, refusal in UNREAD_WORDS.items()}
for value, *_ in (*BAD_X.values(), *BAD_Y.values()):
    if isinstance(value, np.ndarray):
        keep(value)


class Case(NamedTuple):
    name: str
    call: object
    error: object
    words: str


class Refusals:
    """A table of cases.

    ``refuse_each`` and the methods below it add cases of one parameter: they take its name, as
    "net.lr", and a function that calls with a value.
    """

    def __init__(self):
        self.cases = []

    def refuse(self, name, call, error, words):
        # A name that has an address is another in each run.
        name = re.sub(r" at 0x\w*", "", name)
        if name.endswith(REFUSED_SINCE_1_9) and not REFUSES_MORE:
            return
        assert all(case.name != name for case in self.cases), name
        self.cases.append(Case(name, call, error, words))

    def refuse_each(self, name, call, values, error, words):
        """Call with each of the values; {} in the words is the value."""
        for value in values:
            shown = f"{type(value).__name__} {value}" if hasattr(value, "__dict__") else repr(value)
            given = re.escape(repr(value) if isinstance(value, str) else f"{value}")
            self.refuse(
                f"{name}={shown[:30]}",
                lambda v=value: call(v),
                error,
                words.replace("{}", given),
            )

    def refuse_all_but_reals_from_0(self, name, call):
        word = name.partition(".")[2]
        kinds = NOT_REAL[word == "step_size" :]
        few = [-1.0, -1, np.float32(-1), -5e-324]
        self.refuse_each(name, call, few, ValueError, f"`{word}` must be >= 0, got {{}}")
        not_finite = [NAN, INF, -INF]
        self.refuse_each(name, call, not_finite, ValueError, f"`{word}` must be finite, got {{}}")
        self.refuse_each(name, call, kinds, TypeError, f"`{word}` must be a real number, got ")

    def refuse_all_but_integers_from_1(self, name, call):
        word = name.partition(".")[2]
        few, kinds = [0, -2, np.int64(-7)], ["1", None, True, 1.5, 2.0, NAN]
        self.refuse_each(name, call, few, ValueError, f"`{word}` must be >= 1, got {{}}")
        self.refuse_each(name, call, kinds, TypeError, f"`{word}` must be an integer, got {{}}")

    def refuse_all_but_reals_between_0_and_1(self, name, call):
        word = name.partition(".")[2]
        outside, kinds = [0.0, 1.0, -0.5], ["a", None, True]
        self.refuse_each(name, call, outside, ValueError, f"`{word}` must lie between 0 and 1, g")
        self.refuse_each(name, call, [NAN], ValueError, f"`{word}` must be finite, got nan")
        self.refuse_each(name, call, kinds, TypeError, f"`{word}` must be a real number, got {{}}")

    def refuse_all_but_seeds(self, name, call):
        # scikit-learn's own words.
        values = ["a", -1, 1.5, 2**32, np.random.default_rng(0)]
        self.refuse_each(name, call, values, ValueError, "[Ss]eed")

    def refuse_bad_data(self, name, call, one_class_is_good=False, bad_x=BAD_X):
        """Cases of a `call` with X and y."""
        for what, (value, error, words) in bad_x.items():
            self.refuse(f"{name}: X {what}", lambda v=value: call(v, Y), error, words)
        for what, (value, error, words) in BAD_Y.items():
            if not (one_class_is_good and what.startswith("one class")):
                self.refuse(f"{name}: y {what}", lambda v=value: call(X, v), error, words)

    @property
    def each_case(self):
        """Run a test once for each case."""
        assert self.cases
        names = [case.name for case in self.cases]
        return pytest.mark.parametrize("case", self.cases, ids=names)


def check_refused(case):
    # Two threads are slow where other work has the cores; only studies set their number.
    with torch_threads(2 if case.name.startswith("study") else 1), warnings.catch_warnings():
        # Some surrogates warn that they have not converged on noise.
        warnings.simplefilter("ignore")
        before = given_data(), state_of_the_world()
        with pytest.raises(case.error, match=f"(?s){case.words}"):
            case.call()
        assert (given_data(), state_of_the_world()) == before


def given_data():
    """The bits of all data that cases are called with."""
    return [array.tobytes() for array in KEPT], FRAME.to_numpy().tobytes()
