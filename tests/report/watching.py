"""A real browser that opens pages of a report, does what a reader may do, and notes all that should not happen.

Unusual: nothing is believed of the page itself. Requests are noted by the browser, clicks and keys are given to every
element by a script from outside, and whether something is painted over the header is seen from pictures of it.
"""

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_EDGE = 3  # pixels at the border that the neighbours may share by fractions
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
# Every handler that an element may have is tried, and everything that can be folded out is.
_TOUCH = """() => {
    for (const details of document.querySelectorAll('details')) details.open = true;
    const kinds = ['mouseover', 'mouseenter', 'pointerenter', 'pointerover', 'click', 'focus', 'focusin', 'blur',
        'toggle', 'load', 'error', 'animationstart', 'transitionend', 'wheel', 'keydown', 'input', 'pageshow', 'begin'];
    for (const element of document.querySelectorAll('*'))
        for (const kind of kinds) element.dispatchEvent(new Event(kind, {bubbles: false}));
}"""
_LOOK = """() => ['html', 'body', 'header', 'main', 'footer', 'h1', 'nav', '.banner'].map(name => {
    const element = document.querySelector(name);
    if (!element) return [name];
    const style = getComputedStyle(element);
    return [name, ...['display', 'visibility', 'position', 'color', 'backgroundColor', 'backgroundImage', 'opacity',
        'transform', 'fontFamily', 'float', 'zIndex', 'direction', 'maxWidth'].map(key => style[key])];
})"""
_HIT = """() => [...document.querySelectorAll('nav a, header h1, .links a')].filter(element => {
    element.scrollIntoView({block: 'center'});
    const box = element.getClientRects()[0];
    const hit = document.elementFromPoint(box.left + Math.min(box.width, 20) / 2, box.top + box.height / 2);
    return !hit || !(element.contains(hit) || hit.contains(element) && hit.closest('header'));
}).map(element => element.outerHTML.slice(0, 200))"""
_STRANGE = """() => [...document.querySelectorAll(
    'script, iframe, frame, object, embed, form, input, button, svg, math, base, audio, video, dialog, plaintext, ' +
    '[id]:not([id^=document-]):not(#shards)'
)].map(element => element.outerHTML.slice(0, 200))"""


class Watched:
    """One page after a reader was on it. notes: what happened that should not; look: how its frame is painted."""

    def __init__(self, browser: Any, url: str, home: str) -> None:
        self.notes: list[str] = []
        self.requests: list[str] = []
        self._home = home
        context = browser.new_context(viewport={"width": 1000, "height": 800}, accept_downloads=False)
        context.set_default_timeout(60_000)
        context.route("**/*", self._route)
        context.on("page", self._opened)
        page = context.new_page()
        try:
            page.goto(url, wait_until="load")
            self._read(page)
        finally:
            context.close()

    def _route(self, route: Any) -> None:
        url = route.request.url
        self.requests.append(url)
        route.continue_() if url.startswith(self._home) else route.abort()

    def _opened(self, page: Any) -> None:
        if page.opener() is not None:
            self.notes.append("a window was opened")
        page.on("dialog", lambda dialog: (self.notes.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: self.notes.append(f"script error: {error}"))
        page.on("console", lambda message: self.notes.append(f"console: {message.text}"))
        page.on("download", lambda download: self.notes.append(f"download: {download.url}"))

    def _read(self, page: Any) -> None:
        """Do what a reader may do, and note what came of it."""
        url, self.look, before = page.url, page.evaluate(_LOOK), page.title()
        self._compare_painting(page)
        page.evaluate(_TOUCH)
        for _ in range(12):
            page.keyboard.press("Tab")
        page.mouse.move(300, 300)
        page.mouse.wheel(0, 100_000)
        page.wait_for_timeout(300)
        self.title, self.owned = page.title(), page.evaluate("window.owned")
        self.covered, self.strange = page.evaluate(_HIT), page.evaluate(_STRANGE)
        self.width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if page.url != url or page.title() != before or len(page.frames) > 1:
            self.notes.append(f"the page left or changed: {page.url}, {page.title()}, {len(page.frames)} frames")

    def _compare_painting(self, page: Any) -> None:
        """Note where something outside of header and footer paints over them."""
        for name in ("header", "footer"):
            frame = page.locator(name)
            frame.scroll_into_view_if_needed()
            box = frame.bounding_box()
            inner = {**box, "y": box["y"] + _EDGE, "height": min(box["height"] - 2 * _EDGE, 2000)}
            pictures = []
            for visibility in ("", "hidden"):
                page.evaluate(f"document.querySelector('main').style.visibility = '{visibility}'")
                pictures.append(page.screenshot(clip=inner, animations="disabled"))
            page.evaluate("document.querySelector('main').style.visibility = ''")
            if pictures[0] != pictures[1]:
                self.notes.append(f"something is painted over the {name}")


class _Quiet(SimpleHTTPRequestHandler):
    """A static host that notes what it was asked for instead of printing it."""

    def log_message(self, *words: Any) -> None:
        self.server.asked.append(self.path)


@contextmanager
def static_host(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on this machine; yield its address, and what it is asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        server.asked = []
        worker = threading.Thread(target=server.serve_forever)
        worker.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.asked
        finally:
            server.shutdown()
            worker.join()
