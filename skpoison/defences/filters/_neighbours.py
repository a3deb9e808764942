"""How the nearest neighbours of a row vote on its label."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

# Rows whose neighbours are looked for at a time.
_PART = 1024


def lead_of_other_labels(rows, codes, n_neighbors):
    """By how much the neighbours of a row prefer another label.

    Parameters
    ----------
    rows : ndarray or sparse array of shape (n, d)
    codes : ndarray of int of shape (n,)
        Their labels, as numbers from 0.
    n_neighbors : int
        Number of neighbours; all other rows, if there are fewer.

    Returns
    -------
    lead : ndarray of shape (n,)
        The votes of the strongest other label less those for the row's own, as a share of the
        neighbours: from -1 to 1.
    """
    n_rows = rows.shape[0]
    n_neighbors = min(n_neighbors, n_rows - 1)
    search = NearestNeighbors(n_neighbors=n_neighbors + 1).fit(rows)
    lead = np.empty(n_rows)
    for start in range(0, n_rows, _PART):
        part = np.arange(start, min(start + _PART, n_rows))
        found = search.kneighbors(rows[part], return_distance=False)
        votes = _votes(codes[_others(found, part)], codes.max() + 1)
        own = votes[np.arange(len(part)), codes[part]].copy()
        votes[np.arange(len(part)), codes[part]] = 0
        lead[part] = (votes.max(axis=1) - own) / n_neighbors
    return lead


def _others(found, part):
    """The neighbours of rows without the rows themselves, which need not come first."""
    is_self = found == part[:, np.newaxis]
    # Beside many equal rows a row may be missing: then the farthest goes.
    is_self[~is_self.any(axis=1), -1] = True
    return found[~is_self].reshape(len(part), -1)


def _votes(labels, n_classes):
    """The number of each label in each row, (n_rows, n_classes)."""
    places = labels + n_classes * np.arange(len(labels))[:, np.newaxis]
    counts = np.bincount(places.ravel(), minlength=n_classes * len(labels))
    return counts.reshape(len(labels), n_classes)
