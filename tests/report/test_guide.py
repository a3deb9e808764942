"""The examples of the guide run, one after the other."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from skpoison import RobustnessReport

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "report.md"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The blocks of the page, and the names and the folder after the first two were run."""
    folder = tmp_path_factory.mktemp("guide")
    first, second, with_mlflow = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    # Every fifth row and two folds show the same for less.
    data = "X, y = load_breast_cancer(return_X_y=True, as_frame=True)\n"
    assert data in first
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first = first.replace(data, f"{data}X, y = X[::5], y[::5]\n")
        exec(first.replace("random_state=0", "random_state=0, cv=2"), names)
        first_report = names["report"]
        exec(second, names)
    plt.close("all")
    return names, first_report, folder, with_mlflow


def test_examples_of_the_guide_run(ran):
    names, report, folder, _ = ran
    assert list(report.victims) == ["tree", "trimmed"]
    assert RobustnessReport.load(folder / "report.json").answer() == report.answer()
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert names["report"].settings["drop"] == 0.02


def test_mlflow_keeps_numbers_and_files(ran, monkeypatch):
    names, _, folder, block = ran
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    exec(block, names)
    files = {path.name for path in (folder / "mlruns").rglob("*") if path.is_file()}
    assert {"report.html", "report.json", "poisoned_rows.csv"} <= files
    tolerated = names["report"].breaking_point("DecisionTreeClassifier", "next class").low
    (metric,) = (folder / "mlruns").rglob("*tolerated")
    assert float(metric.read_text().split()[1]) == tolerated
