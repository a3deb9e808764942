import numpy as np

from .._frames import rows_that_differ
from .._validation import note_rows


class RowsAsGiven:
    """For attacks that hand X on as it is, unread, in any container and with any values.

    An array is handed on as a read-only view. If the attack returns the rows that it was given, X
    itself is returned.
    """

    def _rows_of(self, X):
        note_rows(self, X, reset=True)
        if not isinstance(X, np.ndarray):
            return X
        rows = X.view()
        rows.flags.writeable = False
        return rows

    def _given_back(self, X_new, rows, X):
        return X if X_new is rows else X_new, rows_that_differ(X_new, rows)
