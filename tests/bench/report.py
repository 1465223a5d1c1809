"""Measure a report: its size, how long it takes beside proving the run, and what a browser asks for when it is read.

    python tests/bench/report.py [--documents 1000] [--shards 10] [--run RUN]

Makes a corpus of PDFs, runs the three notebooks on it and writes the report, or takes a finished RUN as it is. Every
page is opened in Chromium, from the file system, in a light and a dark, a wide and a narrow window; each request is
counted. Prints a Markdown table.
"""

import argparse
import io
import random
import shutil
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from reportlab.pdfgen.canvas import Canvas

from nbpipe.errors import NbpipeError
from nbpipe.pipeline import run_all
from nbpipe.report.site import build
from nbpipe.run import Run
from nbpipe.verify import verify

TOPICS = {
    "cooking": "oven butter flour sugar recipe bake dough salt taste kitchen spoon simmer",
    "sailing": "wind sail harbour mast anchor deck tide rope crew port hull drift",
    "astronomy": "star orbit planet telescope galaxy comet light dust moon sky nebula lens",
    "music": "chord melody violin rhythm choir tempo score flute drum opera verse tune",
}
SHARED = [*TOPICS, "the", "of", "and", "to", "in", "it", "is", "was", "that", "for", "on", "with", "as", "at", "by"]
LOOKS = [(1200, 800, "light"), (390, 844, "dark")]  # width, height, colours


def make_corpus(folder: Path, documents: int) -> Path:
    """Write PDFs of two pages, in one folder per topic, the same for the same number."""
    dice = random.Random(0)
    for number in range(documents):
        topic = list(TOPICS)[number % len(TOPICS)]
        path = folder / topic / f"{number:05d}.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas = Canvas(str(path), invariant=True)
        for _ in range(2):
            for line in range(30):
                words = dice.choices(SHARED, k=9) + dice.choices(TOPICS[topic].split(), k=3)
                canvas.drawString(60, 780 - 20 * line, " ".join(dice.sample(words, len(words))))
            canvas.showPage()
        canvas.save()
    return folder


def requests(report: Path) -> tuple[list[str], list[str]]:
    """Open every page, and return what the browser asked for: the pages themselves, and anything else."""
    pages = [path.as_uri() for path in sorted(report.rglob("*.html"))]
    asked: list[str] = []
    with sync_playwright() as started:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width, height, colours in LOOKS:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colours)
            page = context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            for url in pages:
                page.goto(url, wait_until="load")
        browser.close()
    asked = [url for url in asked if not url.startswith("data:")]
    return [url for url in asked if url in pages], [url for url in asked if url not in pages]


def measure(run: Run) -> list[tuple[str, str]]:
    """Return what was measured, in words and figures."""
    began = time.perf_counter()
    verify(run)
    proving = time.perf_counter() - began
    began = time.perf_counter()
    report = build(run).parent
    building = time.perf_counter() - began
    files = [path for path in report.rglob("*") if path.is_file()]
    sizes = {path: path.stat().st_size for path in files}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(report, "report")
    kinds = {end: sum(size for path, size in sizes.items() if path.suffix == end) for end in (".html", ".pdf")}
    largest = max(sizes, key=sizes.get)
    own, other = requests(report)
    return [
        ("files", f"{len(files):,}"),
        ("whole folder", f"{sum(sizes.values()) / 1e6:.2f} MB"),
        ("of it pages, copies of PDFs", ", ".join(f"{size / 1e6:.2f} MB" for size in kinds.values())),
        ("as .tar.gz", f"{len(packed.getvalue()) / 1e6:.2f} MB"),
        ("largest file", f"{largest.name}, {sizes[largest] / 1e6:.2f} MB"),
        ("written in", f"{building:.1f} s, {building / proving:.1f} times as long as proving the run alone"),
        ("pages opened", f"{len(own):,}"),
        ("requests for anything else", f"{len(other):,}{' ' + ', '.join(other[:5]) if other else ''}"),
    ]


def main() -> None:
    """Measure what the command line asks for."""
    reader = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    reader.add_argument("--documents", type=int, default=1000)
    reader.add_argument("--shards", type=int, default=10)
    reader.add_argument("--run", type=Path)
    asked = reader.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run = asked.run and Run(asked.run.resolve())
        if run is None:
            corpus = make_corpus(Path(place) / "documents", asked.documents)
            run = run_all({"documents": corpus, "run": Path(place) / "run", "num_shards": asked.shards})
        rows = measure(run)
    print("| report | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    try:
        main()
    except NbpipeError as error:
        sys.exit(str(error))
