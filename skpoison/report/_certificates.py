"""Victims that certify their predictions, and how many rows they keep right under changes."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from ..defences import PartitionEnsemble
from ..study import robustness_curve
from ._code import code_of
from ._scores import CHANGES, LABELS, ROWS, certified, score_certificates

# Rows in each partition of the ensemble that a report adds, and bounds on its partitions.
ROWS_OF_A_PARTITION, FEWEST, MOST = 50, 5, 50


@dataclass(frozen=True)
class Certificate:
    """The certified accuracy of one victim.

    Parameters
    ----------
    model : str
        The victim as code.
    of : str or None
        For an ensemble that the report has added: the victim whose copies vote. It is another model
        than this victim.
    accuracy : dict of str to dict of int to list of float
        For each fit, the share of clean rows that are predicted right, and stay right under so many
        changes of the training rows. "labels": flipped labels. "rows", of a `PartitionEnsemble`:
        rows inserted, removed or relabelled; a row whose features change counts as two.
    """

    model: str
    of: str | None
    accuracy: dict[str, dict[int, list[float]]]

    def mean(self, kind, n_changes):
        """The certified accuracy, a mean over the folds and repeats that did not fail."""
        return float(np.nanmean(self.accuracy[kind][n_changes]))


def certify(victims, X, y, *, n_train, **study_kw):
    """The certificates of victims by name, and the reasons for leaving one out, by name.

    These are the victims that certify predictions. If there is none, it is a `PartitionEnsemble` of
    copies of the first victim.
    """
    able = {name: victim for name, victim in victims.items() if hasattr(victim, "certify")}
    first = None
    if not able:
        first = next(iter(victims))
        n_partitions = int(np.clip(n_train // ROWS_OF_A_PARTITION, FEWEST, MOST))
        ensemble = PartitionEnsemble(clone(victims[first]), n_partitions)
        able = {f"PartitionEnsemble of {first}": ensemble}
    try:
        curves = robustness_curve(
            able, X, y, attacks={"clean": None}, scoring=score_certificates, **study_kw
        )
    except ValueError as error:
        if first is None:
            raise
        reason = str(error).strip().rpartition("\n")[2]
        return {}, {f"certificates of a PartitionEnsemble of {first}": reason}
    return {
        name: Certificate(code_of(victim), first, _accuracy(curves, name))
        for name, victim in able.items()
    }, {}


def _accuracy(curves, victim):
    """The certified accuracies of a victim: those that it has."""
    found = {}
    for kind in (LABELS, ROWS):
        scores = {
            n: [float(one) for one in curves[certified(kind, n)][victim].scores["clean"][0]]
            for n in CHANGES
        }
        if np.isfinite(scores[0]).any():
            found[kind] = scores
    return found
