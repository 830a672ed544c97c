"""A real Chromium, where one is installed, looking at a page that a real server serves."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# looks at the page from outside, through a frame of a given width
_LOOKING_GLASS = """<!doctype html><body>
<iframe id="page" src="/report.html" width="WIDTH" height="900"></iframe>
<pre id="found"></pre><script>
document.getElementById("page").onload = () => setTimeout(() => {
  const page = document.getElementById("page").contentDocument;
  const style = page.defaultView.getComputedStyle(page.body);
  document.getElementById("found").textContent = JSON.stringify({
    title: page.title,
    width: page.documentElement.scrollWidth,
    background: style.backgroundColor,
    margin: style.marginTop,
    pictures: [...page.images].map(image => image.naturalWidth),
    sounds: [...page.querySelectorAll("audio")].map(sound => sound.duration),
    hidden: [...page.querySelectorAll("section")].filter(part => !part.offsetHeight).length,
  });
}, 1500);
</script>"""


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page.

    Attributes:
        facts: measured in the page: its title, width, colours, pictures and sounds.
        asked: paths that it asked the server for.
        complaints: what it printed of refused styles, scripts and requests.
    """

    facts: dict[str, Any]
    asked: list[str]
    complaints: list[str]


class Server:
    """Serves a folder and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        handler = functools.partial(self._handler(), directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[SimpleHTTPRequestHandler]:
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                asked.append(self.path)

            def end_headers(self) -> None:
                self.send_header(
                    "Cache-Control", "no-store"
                )  # else the second look may ask nothing
                super().end_headers()

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def look(server: Server, folder: Path, width: int, dark: bool = False) -> Seen:
    """Open ``report.html`` of a folder in a frame of a width, in light or in dark."""
    assert CHROMIUM is not None
    (folder / "glass.html").write_text(_LOOKING_GLASS.replace("WIDTH", str(width)))
    server.asked.clear()
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=8000",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--window-size={width + 60},1000", "--dump-dom", f"{server.url}/glass.html",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    said = [line for line in done.stderr.splitlines() if "Refused" in line or "violates" in line]
    return Seen(json.loads(unescape(found[1])), list(server.asked), said)
