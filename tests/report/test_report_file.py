"""A report in JSON is the report, and another file is refused."""

import copy
import json

import numpy as np
import pytest

from skpoison import RobustnessReport


@pytest.fixture(scope="module")
def state(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "report.json"
    report.to_json(path)
    return json.loads(path.read_text())


def test_a_report_comes_back(report, state, tmp_path):
    (tmp_path / "r").write_text(json.dumps(state))
    loaded = RobustnessReport.load(tmp_path / "r")
    assert repr(loaded) == repr(report)
    loaded.to_json(tmp_path / "again")
    assert json.loads((tmp_path / "again").read_text()) == state
    assert loaded.to_frame().equals(report.to_frame())
    assert loaded.poisoned_rows("flips by loss").equals(report.poisoned_rows("flips by loss"))


def test_the_file_has_the_answer_for_other_readers(report, state):
    assert state["answer"] == report.answer()
    point = report.breaking_point("tree", "flips by loss")
    (found,) = (
        one
        for one in state["breaking_points"]
        if (one["victim"], one["attack"]) == ("tree", "flips by loss")
    )
    assert found["budget"] == point.budget


BAD = {
    "format": lambda s: s.update(format="x"),
    "version": lambda s: s.update(version=2),
    "no studies": lambda s: s.update(studies=[]),
    "no attacks": lambda s: s.update(attacks={}, studies=[], poisoned={}),
    "victims": lambda s: s.update(victims={"x": "y"}),
    "victim code": lambda s: s["victims"].update(tree=1),
    "classes": lambda s: s["classes"].update(more=3),
    "drop": lambda s: s["settings"].update(drop="a"),
    "no drop": lambda s: s["settings"].pop("drop"),
    "call": lambda s: s.update(call=1),
    "tags": lambda s: s["attacks"]["flips by loss"].update(tags=[]),
    "phrase": lambda s: s["attacks"]["flips by loss"].update(phrase=None),
    "extra": lambda s: s["attacks"]["flips by loss"].update(more=1),
    "strengths": lambda s: s["attacks"]["flips by loss"].update(strengths=[0, 1]),
    "share": lambda s: s["attacks"]["flips by loss"].update(is_share=1),
    "success": lambda s: s["attacks"]["flips by loss"].update(has_success=True),
    "rows": lambda s: s["poisoned"]["flips by loss"]["row"].append("1"),
    "length": lambda s: s["poisoned"]["flips by loss"]["row"].append(1),
    "curve": lambda s: s["studies"][0]["accuracy"].update(curves=[]),
    "metric": lambda s: s["studies"][0].pop("changed"),
    "certificate": lambda s: next(iter(s["certificates"].values())).update(
        accuracy={"labels": {"a": [1.0]}}
    ),
    "list": lambda s: s["data"].update(rows=[1]),
    "made": lambda s: s.pop("made"),
    "no date": lambda s: s["made"].pop("date"),
    "no folds": lambda s: s["settings"].pop("n_splits"),
    "drop 0": lambda s: s["settings"].update(drop=0),
    "no rows": lambda s: s["classes"].update(dict.fromkeys(s["classes"], 0)),
    "no certificate": lambda s: next(iter(s["certificates"].values())).update(accuracy={}),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
def test_another_file_is_refused(spoil, state, tmp_path):
    bad = copy.deepcopy(state)
    spoil(bad)
    (tmp_path / "r").write_text(json.dumps(bad))
    with pytest.raises(ValueError, match="must hold a RobustnessReport in JSON"):
        RobustnessReport.load(tmp_path / "r")


@pytest.mark.parametrize("text", ["", "[]", "1", '{"format": 1}', "\x00"])
def test_no_json_of_ours_is_refused(text, tmp_path):
    (tmp_path / "r").write_text(text)
    with pytest.raises(ValueError, match="must hold a RobustnessReport in JSON"):
        RobustnessReport.load(tmp_path / "r")


@pytest.mark.parametrize("write", ["to_json", "to_html"])
def test_a_failed_write_leaves_the_file(report, write, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("before")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        getattr(report, write)(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"


def test_the_file_is_json_to_every_reader(report, tmp_path):
    # NaN and Infinity are words of Python's JSON only: browsers and most programs refuse them.
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    spoilt = copy.deepcopy(report)
    curve = spoilt.studies[0]["accuracy"]["tree"]
    for scores in curve.scores.values():
        scores[-1, 0] = np.nan  # a fit that failed
    certificate = next(iter(spoilt.certificates.values()))
    next(iter(certificate.accuracy.values()))[0][0] = np.nan
    spoilt.settings["drop"] = 0.99  # no attack reaches it
    spoilt.to_json(tmp_path / "r")
    state = json.loads((tmp_path / "r").read_text(), parse_constant=refuse)
    assert [one["budget"] for one in state["breaking_points"]] == [None] * 8
    loaded = RobustnessReport.load(tmp_path / "r")
    assert repr(loaded) == repr(spoilt)
    assert loaded.to_frame().equals(spoilt.to_frame())
    assert str(loaded.certificates) == str(spoilt.certificates)
    # Reports of before hold curves of version 3, with null for NaN too.
    state = json.loads((tmp_path / "r").read_text())
    for study in state["studies"]:
        for curves in study.values():
            curves["version"] = 3
    (tmp_path / "old").write_text(json.dumps(state))
    assert repr(RobustnessReport.load(tmp_path / "old")) == repr(spoilt)
