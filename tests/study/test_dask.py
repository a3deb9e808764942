"""The recipe of the documentation: a study on a cluster of two Dask workers."""

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster
from dask_recipe import study
from joblib import parallel_config


@pytest.fixture(scope="module")
def client():
    # Processes, as on other machines; no dashboard, which would need a port of its own.
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        with Client(cluster) as client:
            yield client


def test_two_workers_give_the_serial_scores(client):
    # Fails if a seed, the fold or the number of threads depends on where a fit is done.
    serial = study()
    with parallel_config(backend="dask"):
        spread = study()
    for name, table in serial.scores.items():
        np.testing.assert_array_equal(spread.scores[name], table)
        np.testing.assert_array_equal(spread.train_scores[name], serial.train_scores[name])
    # Fails if all was computed here: Dask's workers were asked.
    tasks = client.run(lambda dask_worker: dask_worker.state.transition_counter)
    assert len(tasks) == 2
    assert all(count > 0 for count in tasks.values())
