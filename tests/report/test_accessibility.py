"""axe-core finds no fault in the page, in a browser of a phone's width and of a desktop's."""

import json
import re
import shutil
import subprocess
import tarfile

import pytest

AXE = "axe-core@4.14.1"
CHECK = """<script>%s</script><script>
axe.run().then(found => {
  const faults = found.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html.slice(0, 200))]);
  const wide = document.documentElement.scrollWidth > window.innerWidth;
  const result = {faults, wide, passes: found.passes.map(p => p.id)};
  document.body.innerHTML = '<pre id="result"></pre>';
  document.getElementById('result').textContent = btoa(encodeURIComponent(JSON.stringify(result)));
});
</script></body>"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_page_has_no_fault(report, width, tmp_path):
    browser, npm = shutil.which("chromium"), shutil.which("npm")
    if browser is None or npm is None:
        pytest.skip("needs chromium and npm")
    subprocess.run([npm, "pack", AXE], cwd=tmp_path, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        script = archive.extractfile("package/axe.min.js").read().decode()
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    # The page allows no scripts, so its copy must.
    page, n = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert n == 1
    (tmp_path / "checked.html").write_text(page.replace("</body>", CHECK.replace("%s", script, 1)))
    found = subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *(f"--window-size={width},900", "--virtual-time-budget=60000", "--dump-dom"),
            (tmp_path / "checked.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    from base64 import b64decode
    from urllib.parse import unquote

    packed = re.search(r'<pre id="result">(.*?)</pre>', found.stdout, re.S).group(1)
    result = json.loads(unquote(b64decode(packed).decode()))
    assert not result["faults"]
    assert not result["wide"], "the page scrolls sideways"
    assert {"color-contrast", "document-title", "html-has-lang"} <= set(result["passes"])
