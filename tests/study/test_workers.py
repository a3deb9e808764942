"""Workers that die, and workers of every kind: a study ends with the scores of the serial run."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.tree import DecisionTreeClassifier

from skpoison import LabelFlip, RandomNoise, robustness_curve

STUDY = {
    "attacks": {"clean": None, "flips": LabelFlip(0.3), "noise": RandomNoise(budget=1.0)},
    "param_name": "max_depth",
    "param_range": [2, 4, 8],
    "cv": 4,
    "random_state": 0,
}
N_FITS = 3 * 3 * 4


class Mortal(DecisionTreeClassifier):
    """Writes a line at each fit; where the file `flag` is, the tenth kills its process."""

    def __init__(self, folder, max_depth=None, random_state=None):
        super().__init__(max_depth=max_depth, random_state=random_state)
        self.folder = folder

    def fit(self, X, y, check_input=True):
        log, flag = Path(self.folder, "log"), Path(self.folder, "flag")
        with open(log, "a") as file:
            file.write(f"{self.max_depth}\n")
        time.sleep(0.02)
        if flag.exists() and len(log.read_text().splitlines()) >= 10:
            flag.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)

    def begun(self):
        return len(Path(self.folder, "log").read_text().splitlines())


def assert_same_scores(a, b):
    for name in a.scores:
        np.testing.assert_array_equal(a.scores[name], b.scores[name])
        np.testing.assert_array_equal(a.train_scores[name], b.train_scores[name])


def serial_and_mortal(folder):
    """All digits, the scores of the serial run, and a tree that has yet to die."""
    X, y = load_digits(return_X_y=True)
    tree = Mortal(str(folder))
    serial = robustness_curve(tree, X / 16, y, **STUDY)
    assert tree.begun() == N_FITS
    Path(folder, "log").unlink()
    Path(folder, "flag").touch()
    return X / 16, y, serial, tree


def test_a_killed_loky_worker_is_a_clear_error_and_a_rerun_continues(tmp_path):
    # Fails if joblib's own words come out; if results wait for the end of a batch or a wave.
    X, y, serial, tree = serial_and_mortal(tmp_path)
    memory = tmp_path / "memory"
    with parallel_config("loky"):
        with pytest.raises(RuntimeError, match=r"worker process of the study died.*`memory`"):
            robustness_curve(tree, X, y, n_jobs=2, memory=memory, **STUDY)
        begun = tree.begun()
        kept = len(list(memory.rglob("output.pkl"))) - 8
        assert 10 <= begun < N_FITS
        # Two fits were under way, and two results may have been on their way.
        assert begun - kept <= 4
        resumed = robustness_curve(tree, X, y, n_jobs=2, memory=memory, **STUDY)
    assert tree.begun() - begun == N_FITS - kept
    assert_same_scores(resumed, serial)


# Scripts of their own: Dask starts its workers from the main module, and leaves threads behind.

DASK = """
    import sys, warnings
    from distributed import Client, LocalCluster
    from joblib import parallel_config
    from skpoison import robustness_curve
    from test_workers import STUDY, assert_same_scores, serial_and_mortal

    if __name__ == "__main__":
        X, y, serial, tree = serial_and_mortal(sys.argv[1])
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**options) as cluster, Client(cluster):
            with parallel_config("dask"):
                curve = robustness_curve(tree, X, y, memory=sys.argv[2], **STUDY)
        assert_same_scores(curve, serial)
        print(tree.begun())
"""

MATRIX = """
    import json, sys
    import torch
    from distributed import Client, LocalCluster
    from joblib import parallel_config
    from sklearn.datasets import load_digits
    from skpoison import MLP, CleanLabelPGA, LabelFlip, NetClassifier, robustness_curve

    def study(fused, n_jobs):
        net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=2)
        pga = CleanLabelPGA(net, norm="l2,inf", budget=0.5, max_iter=3)
        curve = robustness_curve(
            net, X[:300] / 16, y[:300], fused=fused, n_jobs=n_jobs,
            attacks={"clean": None, "pga": pga, "flips": LabelFlip(0.3)},
            param_name="module__width", param_range=[2, 16], cv=2, random_state=0,
        )
        tables = {"test": curve.scores, "train": curve.train_scores}
        return {k: {name: v.tolist() for name, v in table.items()} for k, table in tables.items()}

    if __name__ == "__main__":
        X, y = load_digits(return_X_y=True)
        found = {}
        for backend in ("loky", "threading", "dask"):
            for n_jobs in (1, 2):
                # Dask's number of jobs is that of its workers.
                options = {"n_workers": n_jobs, "threads_per_worker": 1, "dashboard_address": None}
                cluster = LocalCluster(**options) if backend == "dask" else None
                client = Client(cluster) if backend == "dask" else None
                for fused in (True, False):
                    with parallel_config(backend):
                        found[f"{backend} {n_jobs} {fused}"] = study(fused, n_jobs)
                if backend == "dask":
                    client.close()
                    cluster.close()
        print(json.dumps(found))
"""


def run(code, folder, *args, hash_seed="0"):
    script = folder / f"script{hash_seed}.py"
    script.write_text(textwrap.dedent(code))
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_killed_dask_worker_costs_nothing_but_time(tmp_path):
    # Fails if data are scattered: they would be gone with the worker that has them.
    begun = int(run(DASK, tmp_path, tmp_path, tmp_path / "memory"))
    assert not (tmp_path / "flag").exists()
    # The tenth fit died; of those that were done, some results may have been lost with it.
    assert N_FITS < begun <= N_FITS + 4
    assert len(list((tmp_path / "memory").rglob("output.pkl"))) == N_FITS + 8


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_scores_depend_on_the_seed_alone(tmp_path):
    # Every backend x 1 or 2 jobs x stacked or one by one x two orders of sets.
    found = {}
    for hash_seed in ("0", "1"):
        output = json.loads(run(MATRIX, tmp_path, hash_seed=hash_seed))
        assert len(output) == 12
        found.update({f"{key} {hash_seed}": value for key, value in output.items()})
    for route in (True, False):
        curves = [value for key, value in found.items() if key.split()[2] == str(route)]
        assert len(curves) == 12
        assert all(curve == curves[0] for curve in curves)
    # Stacked and one by one: equal but for rounding, which moves a row of 150 here and there.
    stacked, single = found["loky 1 True 0"], found["loky 1 False 0"]
    for table in ("test", "train"):
        for name in ("clean", "pga", "flips"):
            np.testing.assert_allclose(stacked[table][name], single[table][name], atol=0.015)
