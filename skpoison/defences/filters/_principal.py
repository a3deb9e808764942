"""The directions in which the activations of a class vary most."""

import numpy as np
import scipy.linalg


def principal_projections(rows, n_components):
    """Project centred rows on the directions in which they vary most.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    n_components : int
        How many directions, at most.

    Returns
    -------
    projections : ndarray of float64 of shape (n, n_found)
        In no particular order. Directions without any variance (dead units have none) are left out,
        so `n_found` may be 0.
    """
    centred = rows.astype(np.float64)
    centred -= centred.mean(axis=0)
    is_tall = len(centred) >= centred.shape[1]
    # The smaller of the two matrices has the same eigenvalues: the squared singular values.
    gram = centred.T @ centred if is_tall else centred @ centred.T
    size = len(gram)
    first = max(size - n_components, 0)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=[first, size - 1])
    # Activations are float32: what is smaller is rounding.
    scale = np.square(rows, dtype=np.float64).sum()
    is_real = values > scale * np.finfo(np.float32).eps ** 2 * size
    values, vectors = values[is_real], vectors[:, is_real]
    return centred @ vectors if is_tall else vectors * np.sqrt(values)
