"""Which rows of two containers differ."""

import numpy as np
import pytest
from scipy import sparse

from skpoison._frames import rows_that_differ


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_rows_of_sparse_matrices(kind):
    # Seen to fail where NaN differs from NaN.
    rows = np.array([[0, np.nan], [1, 0], [0, 0], [0, np.nan], [2, 0]])
    other = np.array([[0, np.nan], [0, 1], [0, 0], [3, np.nan], [np.nan, 0]])
    one, two = (sparse.csr_array(part).asformat(kind) for part in (rows, other))
    expected = [False, True, False, True, True]
    np.testing.assert_array_equal(rows_that_differ(one, two), expected)
    np.testing.assert_array_equal(rows_that_differ(rows, other), expected)
