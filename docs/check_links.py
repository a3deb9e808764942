"""Check that every link inside the built site leads somewhere, anchors included."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SITE = Path(__file__).parent / "_build" / "html"


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs.get("id"), attrs.get("name")}
        self.links += [attrs[name] for name in ("href", "src") if attrs.get(name)]


pages = {path: Page(path) for path in SITE.rglob("*.html") if "_static" not in path.parts}
broken, n_links = [], 0
for path, page in pages.items():
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        n_links += 1
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        known = pages[target].anchors if target in pages else {parts.fragment}
        if not target.exists() or (parts.fragment and unquote(parts.fragment) not in known):
            broken.append(f"{path.relative_to(SITE)}: {link}")
print(f"{n_links} links on {len(pages)} pages, {len(broken)} broken", *broken, sep="\n")
sys.exit(bool(broken) or not pages)
