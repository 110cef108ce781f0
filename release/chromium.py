"""Headless Chromium on a page in a frame of a given width and colour scheme: what it logs, measures and shows."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from PIL import Image

__all__ = ["CHROMIUM", "measured", "screenshot"]

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

# The page's own policy forbids scripts, so the frame around it does the measuring.
_FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0"><iframe id="f" style="border:0;display:block"
width="{width}" height="{height}" srcdoc="{page}"></iframe><pre id="answer"></pre><script>
const frame = document.getElementById("f");
// Hints that hang on scrolling are there after a frame or two.
frame.onload = () => setTimeout(() => {{
  const page = frame.contentDocument, root = page.documentElement;
  const style = (element) => frame.contentWindow.getComputedStyle(element);
  const texts = [];
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {{
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("style, .hidden")) continue;
    const grounds = [];
    for (let e = element; e; e = e.parentElement) grounds.push(style(e).backgroundColor);
    texts.push([style(element).color, grounds.join(";"), element.tagName + "." + element.className]);
  }}
  document.getElementById("answer").textContent = JSON.stringify({{
    width: root.clientWidth, needed: root.scrollWidth, height: root.scrollHeight,
    headings: [...page.querySelectorAll("h1, h2, h3")].map((h) => +h.tagName[1]),
    broken: [...page.images].filter((i) => !i.complete || !i.naturalWidth).length,
    wide: [...page.querySelectorAll(".scroll")].filter((s) => s.checkVisibility()).map((s) => [
      s.scrollWidth > s.clientWidth, parseFloat(frame.contentWindow.getComputedStyle(s, "::before").height) > 10
    ]),
    unnamed: [...page.images].filter((i) => !i.hasAttribute("alt")).length,
    texts: [...new Set(texts.map((t) => JSON.stringify(t)))].map((t) => JSON.parse(t)),
  }});
}}, 300);
</script>"""


def measured(page: bytes, folder: Path, *, width: int, dark: bool) -> dict[str, Any]:
    """What the frame's script found; `log` is what the browser's console said."""
    ran = _chromium(_framed(page, folder, width, 2000), ["--dump-dom"], width, 2000, dark)
    answer = re.search(r'<pre id="answer">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert answer is not None, ran.stderr[-2000:]
    log = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(answer[1])) | {"log": log}


def screenshot(page: bytes, target: Path, *, width: int, height: int, dark: bool) -> None:
    """A PNG of the page's upper `height` pixels, `width` wide."""
    framed = _framed(page, target.parent, width, height)
    _chromium(framed, [f"--screenshot={target}", "--hide-scrollbars"], width, height, dark)
    with Image.open(target) as shown:
        # A window is never narrower than 500 pixels; the frame in it is.
        cut = shown.convert("RGB").crop((0, 0, width, height))
    cut.save(target)


def _framed(page: bytes, folder: Path, width: int, height: int) -> Path:
    path = folder / "frame.html"
    path.write_text(_FRAME.format(width=width, height=height, page=html.escape(page.decode())), encoding="utf-8")
    return path


def _chromium(page: Path, what: list[str], width: int, height: int, dark: bool) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--log-level=0"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=5000"]
    command += [
        f"--window-size={max(width, 500)},{height}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
    ]
    return subprocess.run([*command, *what, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
