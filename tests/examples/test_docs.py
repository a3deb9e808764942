"""What the documentation says about scripts that it shows."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[2]
GALLERY = sorted((ROOT / "examples" / "gallery").glob("plot_*.py"))


def n_code_lines(path):
    lines = path.read_text().splitlines()
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def test_line_counts_of_the_comparison():
    # Fails if a script is edited and the table is not.
    page = (ROOT / "docs" / "coming_from.md").read_text()
    counts = {}
    for name in ("plain_torch", "with_art", "with_skpoison"):
        counts[name] = n_code_lines(ROOT / "docs" / "coming_from_scripts" / f"{name}.py")
    table = re.findall(r"^\| (plain torch|\[ART\].*|skpoison) \| (\d+) \|$", page, re.M)
    assert [int(count) for _, count in table] == list(counts.values())
    assert counts["with_skpoison"] <= 12


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_gallery_scripts_start_with_a_claim(path):
    text = path.read_text()
    assert 40 <= len(text.splitlines()) <= 80
    title, rule, blank, claim = text.split("\n")[1:5]
    assert set(rule) == {"="}
    assert len(rule) == len(title)
    assert not blank
    assert claim


def test_example_of_the_landing_page_runs(tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "index.md").read_text(), re.S)
    assert len(block.splitlines()) <= 15
    quick = block.replace("max_epochs=20", "max_epochs=1").replace("[4, 64, 1024]", "[4, 8]")
    assert quick.count("max_epochs=1)") == quick.count("[4, 8]") == 1
    monkeypatch.chdir(tmp_path)
    exec(quick, {"__name__": "landing_page"})
    plt.close("all")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_there_is_a_gallery():
    assert len(GALLERY) >= 14
