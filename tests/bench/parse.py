"""Measure raw pdfium, nbpipe and pypdf side by side on folders of PDFs: words found, and seconds a document.

    python tests/bench/parse.py FOLDER [FOLDER ...] [--sample N] [--repeats N]

pypdf is the reference, not the truth: recall is the share of its distinct words that a method finds too, precision the
share of a method's words that pypdf has; both are taken per document and averaged. Words are lower-cased runs of two
and more word characters. pypdf leaves ligatures as they are drawn ("ﬁnd"), the other two spell them out ("find"), so
the main columns fold compatibility characters (NFKC) on all sides and the last two show the words as they came.
"""

import argparse
import logging
import re
import statistics
import time
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pypdf
import pypdfium2

from nbpipe.preprocess.parsers import parse

_WORD = re.compile(r"\w\w+")


def with_pdfium(path: Path) -> str:
    """Return pdfium's text as it comes."""
    with pypdfium2.PdfDocument(path) as document:
        return "\n".join(page.get_textpage().get_text_bounded(errors="replace") for page in document)


def with_nbpipe(path: Path) -> str:
    """Return the text that nbpipe keeps."""
    return "\n".join(parse(path).pages)


def with_pypdf(path: Path) -> str:
    """Return pypdf's text as it comes."""
    with path.open("rb") as file:
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(file).pages)


METHODS: dict[str, Callable[[Path], str]] = {"raw pdfium": with_pdfium, "nbpipe": with_nbpipe, "pypdf": with_pypdf}


def words(text: str, fold: bool) -> set[str]:
    """Return the distinct words of a text, with compatibility characters folded or not."""
    text = text.encode("utf-8", "replace").decode()
    return set(_WORD.findall((unicodedata.normalize("NFKC", text) if fold else text).lower()))


def overlap(text: str, reference: str, fold: bool) -> tuple[float, float]:
    """Return the recall and precision of a text's distinct words against the reference's."""
    found, wanted = words(text, fold), words(reference, fold)
    common = len(found & wanted)
    return common / len(wanted), common / max(1, len(found))


def read_all(path: Path) -> dict[str, str] | None:
    """Return the text by each method, None where pypdf reads no words or pdfium does not open the file."""
    try:
        texts = {name: method(path) for name, method in METHODS.items()}
    except Exception:
        return None
    return texts if words(texts["pypdf"], fold=False) else None


def clock(paths: Sequence[Path], repeats: int) -> dict[str, float]:
    """Return the median seconds a document by each method; within a repeat the methods take turns at each document."""
    totals: dict[str, list[float]] = {name: [0.0] * repeats for name in METHODS}
    for turn in range(repeats):
        for index, path in enumerate(paths):
            names = list(METHODS)
            first = (index + turn) % len(names)
            for name in names[first:] + names[:first]:
                began = time.perf_counter()
                METHODS[name](path)
                totals[name][turn] += time.perf_counter() - began
    return {name: statistics.median(seconds) / len(paths) for name, seconds in totals.items()}


def measure(folder: Path, sample: int | None, repeats: int) -> list[str]:
    """Return the lines of a folder's Markdown table."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".pdf")
    if sample and sample < len(paths):
        paths = [paths[index * len(paths) // sample] for index in range(sample)]
    texts = {path: found for path in paths if (found := read_all(path))}
    if not texts:
        return [f"{folder.name}: pypdf reads words from none of {len(paths)} PDFs"]
    seconds = clock(list(texts), repeats)
    lines = [
        f"{folder.name}: {len(texts)} of {len(paths)} documents, the rest pypdf cannot read; {repeats} repeats",
        "",
        "| method | recall | precision | ms a document | times pypdf's speed | recall as is | precision as is |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in METHODS:
        scores = [
            overlap(found[name], found["pypdf"], fold=True) + overlap(found[name], found["pypdf"], fold=False)
            for found in texts.values()
        ]
        recall, precision, strict_recall, strict_precision = map(statistics.mean, zip(*scores, strict=True))
        lines.append(
            f"| {name} | {recall:.4f} | {precision:.4f} | {1000 * seconds[name]:.1f} "
            f"| {seconds['pypdf'] / seconds[name]:.1f} | {strict_recall:.4f} | {strict_precision:.4f} |"
        )
    return [*lines, ""]


def main() -> None:
    """Print a table for each folder named on the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options.add_argument("--sample", type=int, metavar="N", help="take N documents, evenly spread, instead of all")
    options.add_argument("--repeats", type=int, default=3, metavar="N", help="how often to time each method (3)")
    given = options.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for folder in given.folders:
        print("\n".join(measure(folder, given.sample, given.repeats)), flush=True)


if __name__ == "__main__":
    main()
