"""A study on Dask workers: shown in the documentation, run by test_dask.py."""

from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.datasets import load_digits

from skpoison import MLP, LabelFlip, NetClassifier, robustness_curve


def study():
    X, y = load_digits(return_X_y=True)
    return robustness_curve(
        NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=3),
        X / 16,
        y,
        attacks={"clean": None, "flips": LabelFlip(0.3)},
        param_name="module__width",
        param_range=[4, 64],
        cv=2,
        random_state=0,
    )


if __name__ == "__main__":
    # Workers of this machine; for a cluster elsewhere, Client("scheduler-address:8786").
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster):
        with parallel_config(backend="dask"):
            print(study().to_frame())
