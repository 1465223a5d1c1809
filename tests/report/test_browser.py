"""Reports in a real browser: whatever documents, names, labels, metadata and errors hold, a page stays what it is.

Unusual: every attack of attacks.py goes through the whole chain, as text, name, label and metadata of documents, and
beside that into every kind of output that a notebook may hold. Pages are opened with scripts allowed, from the file
system and from a static host, with their policy and without it: the policy must have nothing to do.
"""

import base64
import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from attacks import ATTACKS, EVIL, RUN, as_name, as_text
from nbformat.v4 import new_markdown_cell, new_output
from reportlab.pdfgen.canvas import Canvas

from nbpipe.audit import Stamp, read_receipt
from nbpipe.report.evidence import gather
from nbpipe.report.gallery import compare
from nbpipe.report.site import build
from nbpipe.run import Run, write
from nbpipe.verify import verify

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

from watching import POLICY, Watched, static_host  # noqa: E402 - needs playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH")
LABELS = (
    f'"><script>{RUN}</script>',
    f"- {{a: *b}}\n---\n<img src=x onerror={RUN}>",
    "=cmd()! [x](javascript:owned=1) `{{7*7}}`",
)
TOPICS = (
    "oven butter flour sugar bake dough",
    "wind sail harbour mast anchor tide",
    "star orbit planet comet moon nebula",
)
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")
MIMES = (
    "text_html", "text_markdown", "text_plain", "text_latex", "image_svg+xml", "image_png", "image_jpeg",
    "application_javascript", "application_json", "application_pdf", "text_csv",
    "application_vnd.jupyter.widget-view+json",
)  # fmt: skip


def write_pdf(path: Path, text: str) -> None:
    """Write a PDF that holds a text and tells it once more in its metadata."""
    canvas = Canvas(os.fsdecode(os.fsencode(path)))
    for set_one in (canvas.setTitle, canvas.setAuthor, canvas.setSubject, canvas.setKeywords):
        set_one(text[:200])
    for number, line in enumerate(re.findall(".{1,90}", text.replace("\n", " "))[:60]):
        canvas.drawString(20, 800 - 12 * number, line)
    canvas.save()


def make_corpus(folder: Path) -> Path:
    """Write documents whose text, names and metadata are the attacks, some of them broken, and a file of labels."""
    rows = []
    for number, attack in enumerate(ATTACKS):
        topic, ending = number % 3, ("txt", "pdf", "html", "md", "txt", "eml")[number % 6]
        text = as_text(f"{TOPICS[topic]} {attack} {TOPICS[topic]} {number} {TOPICS[topic]}")
        path = folder / as_name(ATTACKS[-number], number, ending)
        if ending == "pdf":
            write_pdf(path, text)
        else:
            head = "Subject: " + " ".join(text.split())[:300] + "\n\n" if ending == "eml" else ""
            path.write_text(head + text, encoding="utf-8", newline="")
        rows.append((path.name, LABELS[topic]))
    for number in (3, 9, 40):
        (folder / as_name(ATTACKS[number], 900 + number, "pdf")).write_bytes(b"%PDF-1.4 <script>owned=1</script>")
    (folder / os.fsdecode(b"bytes \xff\xfe \xed\xa0\x80.txt")).write_text("no name in any alphabet")
    labels = folder.parent / "labels.csv"
    with labels.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return labels


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the whole chain over the attacks."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "documents").mkdir()
    labels = make_corpus(folder / "documents")
    words = ["run", "documents", "--run", "run", "--labels", labels, "--shards", "2"]
    command = [sys.executable, "-c", "from nbpipe.cli import main; main()", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return Run(folder / "run")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_maker: Callable[[Path], Any]) -> Run:
    """A run made by hand in which every string is an attack, with all of them in every kind of output."""
    maker = make_maker(tmp_path_factory.mktemp("made") / "run")
    texts = [as_text(attack) for attack in ATTACKS]
    every, statuses = "".join(texts), ("ok", "ok", "unreadable", "encrypted", "empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stamp, "now", lambda *_: Stamp(_stamp(texts)))
        maker.preprocess({as_name(one, at): (statuses[at % 5], texts[at]) for at, one in enumerate(ATTACKS)})
        write(maker.run.model / "README.md", f"---\n{every}\n---\n\n{every}".encode())
        maker.train(baselines={text: {"accuracy": 0.5, "macro_f1": 0.5} for text in texts})
        maker.notebook("train", read_receipt(maker.run.model), every)
        for at, attack in enumerate(ATTACKS[:30]):
            for ending, data in (("png", PNG), ("pdf", b"%PDF-1.4")):
                write(maker.run.explain / "pages" / as_name(attack, at, ending), data)
        maker.explain(*(cell for text in texts for cell in _cells(maker, text)))
    return maker.run


def _stamp(texts: list[str]) -> dict[str, Any]:
    """Return what a machine that means harm would say of itself."""
    named = {f"{at} {text}": text for at, text in enumerate(texts)}
    config = named | {"model": "bag", "target_accuracy": texts[0], "timeout": texts[12]}
    return named | {"config": config, "packages": named, "device": texts[3], "commit": texts[4], "seed": texts[5]}


def _cells(maker: Any, text: str) -> Iterator[Any]:
    """Yield an attack as prose, parameter, code and every kind of output."""
    error = new_output("error", ename=text, evalue=text, traceback=[text])
    yield new_markdown_cell(text)
    yield maker.code(f"name = {text!r}", tags=["parameters"])
    yield maker.code(text, *(maker.shown(**{mime: text}) for mime in MIMES), new_output("stream", text=text), error)


@pytest.fixture(scope="module")
def report(chain: Run, made: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of both runs, which holds the reports of both."""
    return compare([chain, made], tmp_path_factory.mktemp("shared") / "comparison").parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser that can reach nothing but this machine."""
    with playwright.sync_playwright() as started:
        flags = ["--no-sandbox", "--proxy-server=127.0.0.1:9", "--disable-background-networking"]
        found = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


def pages_of(report: Path) -> list[str]:
    return sorted(path.relative_to(report).as_posix() for path in report.rglob("*.html"))


def without_policy(report: Path, to: Path) -> Path:
    """Copy a report, and take the policy out of each of its pages."""
    shutil.copytree(report, to)
    for name in pages_of(to):
        bare, count = POLICY.subn("", (to / name).read_text())
        assert count == 1
        (to / name).write_text(bare)
    return to


def test_the_attacks_are_in_the_report(report: Path, chain: Run) -> None:
    assert len(set(ATTACKS)) >= 60
    assert verify(chain) == []
    text = "".join((report / name).read_text() for name in pages_of(report))
    assert all(
        sign in text for sign in ("&lt;script&gt;window.owned=1", "onerror=", "javascript:", "{{7*7}}", "evil.example")
    )
    assert {"ok", "unreadable"} <= gather(chain).counts.keys()


@pytest.mark.parametrize(("served", "policy"), [(False, True), (True, False)], ids=["file-policy", "host-bare"])
def test_no_attack_does_anything(report: Path, browser: Any, tmp_path: Path, policy: bool, served: bool) -> None:
    site = tmp_path / "team" / "shared report"
    shutil.copytree(report, site) if policy else without_policy(report, site)
    with static_host(tmp_path) as (host, asked):
        home = f"{host}/team/shared%20report" if served else site.as_uri()
        for name in pages_of(site):
            seen = Watched(browser, f"{home}/{name}", home)
            title = unescape(re.search("<title>(.*?)</title>", (site / name).read_text(), re.DOTALL)[1])
            assert (seen.notes, seen.covered, seen.strange) == ([], [], []), name
            assert (seen.owned, seen.width) == (None, 0), name
            assert seen.requests == [f"{home}/{name}"], name
            assert seen.title == title, name
        assert len(asked) == (len(pages_of(site)) if served else 0)


def test_no_attack_changes_how_a_page_looks(report: Path, browser: Any, whole: Callable[[], Run]) -> None:
    harmless = build(whole()).parent
    for name in ("index.html", "train.html", "explain.html"):
        usual = Watched(browser, (harmless / name).as_uri(), harmless.as_uri())
        attacked = Watched(browser, (report / "run-2" / name).as_uri(), report.as_uri())
        usual_look = [row for row in usual.look if row[0] != "nav"]
        assert [row for row in attacked.look if row[0] != "nav"] == usual_look, name


# Each puts into a page what `clean` would have stopped, and the watch must see it: so it can see what it is there for.
WORKING = {
    "a script": (f"<script>{RUN}</script>", lambda seen: seen.owned == 1 and seen.title == "owned"),
    "a handler": (f"<p onclick=\"{RUN}\">x</p>", lambda seen: seen.owned == 1),
    "a request": (f"<img src={EVIL}/x.png>", lambda seen: f"{EVIL}/x.png" in seen.requests),
    "a dialog": ("<script>alert(1)</script>", lambda seen: "dialog: 1" in seen.notes),
    "a cover": ("<p style='position:fixed;inset:0'>x</p>", lambda seen: seen.covered),
    "paint": (
        "<p style='position:relative;z-index:9;margin-bottom:-90px;pointer-events:none'>x<br>x<br>x</p>",
        lambda seen: "something is painted over the footer" in seen.notes,
    ),
    "a style": ("<style>h1{color:red}</style>", lambda seen: any("rgb(255, 0, 0)" in row for row in seen.look)),
    "a frame": ("<iframe srcdoc=x></iframe>", lambda seen: seen.strange),
}  # fmt: skip


@pytest.mark.parametrize("attack", WORKING)
def test_an_attack_that_gets_in_is_seen(whole: Callable[[], Run], browser: Any, tmp_path: Path, attack: str) -> None:
    html, is_seen = WORKING[attack]
    bare = without_policy(build(whole()).parent, tmp_path / "bare")
    page = bare / "index.html"
    page.write_text(page.read_text().replace("</main>", f"{html}</main>"))
    assert is_seen(Watched(browser, page.as_uri(), bare.as_uri()))


def test_the_policy_stops_a_script_that_got_in(whole: Callable[[], Run], browser: Any) -> None:
    page = build(whole())
    page.write_text(page.read_text().replace("</main>", f"<script>{RUN}</script><img src={EVIL}/x.png></main>"))
    seen = Watched(browser, page.as_uri(), page.parent.as_uri())
    assert (seen.owned, seen.title) == (None, "Report of demo")
    assert not any(EVIL in url for url in seen.requests)
