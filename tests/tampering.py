"""Kinds of tampering with a finished run, each with what `nbpipe verify` must say of it."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbpipe import crate
from nbpipe.audit import digest
from nbpipe.run import Run
from nbpipe.verify import prove, verify

Book = dict[str, list[dict]]


@dataclass(frozen=True)
class Case:
    """A copy of a run, to be tampered with, and of its documents; other: another run, where there is one."""

    run: Path
    documents: Path
    other: Path | None = None

    @property
    def shards(self) -> list[Path]:
        """The shards' folders."""
        return sorted((self.run / "shards").iterdir())

    def notebook(self, name: str) -> Path:
        """The executed notebook of a stage."""
        return next(iter(sorted((self.run / "audit").glob(f"{name}*.ipynb"))))

    def seal(self, name: str) -> Path:
        """The seal of that notebook."""
        return next(iter(sorted((self.run / "audit" / "seals").glob(f"{name}*.json"))))


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # it may be a link to an original
    path.write_bytes(data)


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Change what a JSON file says."""
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False))


def replace(path: Path, old: str, new: str) -> None:
    """Replace text in a file that holds it."""
    text = path.read_text()
    assert old in text, f"{path.name} does not hold {old!r}"
    path.write_text(text.replace(old, new))


def swap(one: Path, two: Path) -> None:
    """Let two files or folders change places."""
    away = one.with_name("away")
    one.rename(away)
    two.rename(one)
    away.rename(two)


def folder_instead(path: Path) -> None:
    """Put a folder in the place of a file."""
    path.unlink()
    path.mkdir()


def tagged(book: Book, tag: str) -> dict:
    """Return the cell of a notebook that has a tag."""
    return next(cell for cell in book["cells"] if tag in cell["metadata"].get("tags", []))


def code(book: Book) -> list[dict]:
    """Return the code cells of a notebook."""
    return [cell for cell in book["cells"] if cell["cell_type"] == "code"]


def renumber(book: Book) -> None:
    """Make a notebook look as if its cells had run in the order in which they stand."""
    for number, cell in enumerate(code(book), 1):
        cell["execution_count"] = number
        for output in cell["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = number


def picture(book: Book) -> None:
    """Put the first picture of a notebook in the place of another."""
    bundles = [
        output["data"] for cell in code(book) for output in cell["outputs"] if "image/png" in output.get("data", {})
    ]
    bundles[-1]["image/png"] = bundles[0]["image/png"][:-8] + "AAAAAAA="


def other_answer(book: Book) -> None:
    """Turn a verdict round."""
    said = tagged(book, "verdict")["outputs"][0]["data"]
    said["text/plain"] = ["Yes: it is perfect."] if "No" in "".join(said["text/plain"]) else ["No: it is not."]


def without(book: Book, place: int) -> None:
    """Take one code cell out of a notebook."""
    book["cells"].remove(code(book)[place])
    renumber(book)


def exchange(book: Book, one: int, two: int) -> None:
    """Let two code cells of a notebook change places, with what they show."""
    cells, (first, second) = book["cells"], (code(book)[one], code(book)[two])
    a, b = cells.index(first), cells.index(second)
    cells[a], cells[b] = cells[b], cells[a]
    renumber(book)


def add(book: Book) -> None:
    """Put a cell into a notebook that never ran in it."""
    own = {"cell_type": "code", "metadata": {}, "source": "pass", "outputs": [], "execution_count": None}
    book["cells"].insert(-2, own)
    renumber(book)


def forge(case: Case) -> None:
    """Change the last receipt, and let the notebook name the receipt as it is then."""
    folder, book = Run(case.run).explain, case.notebook("explain")
    before = digest(folder / "receipt.json")
    edit(folder / "receipt.json", lambda receipt: receipt.update(rows=1))
    replace(book, before, digest(folder / "receipt.json"))


def document(case: Case) -> Path:
    """Return the first document."""
    return min(path for path in case.documents.rglob("*") if path.is_file() and not path.name.startswith("."))


def another_model(case: Case) -> None:
    """Let the model say that it was trained on another shard."""
    edit(case.run / "model" / "receipt.json", lambda receipt: receipt["inputs"].update({case.shards[0].name: "00"}))


def in_book(stage: str, change: Callable[[Book], None]) -> Callable[[Case], None]:
    """Return what changes the notebook of a stage."""
    return lambda case: edit(case.notebook(stage), change)


def in_receipt(place: Callable[[Case], Path], **facts: object) -> Callable[[Case], None]:
    """Return what changes facts of a receipt."""
    return lambda case: edit(place(case) / "receipt.json", lambda receipt: receipt.update(facts))


# What is done, and what a line of `nbpipe verify` must then hold.
KINDS: dict[str, tuple[Callable[[Case], object], str]] = {
    "a byte of a document": (lambda case: flip(document(case)), "was changed since it was read"),
    "a document removed": (lambda case: document(case).unlink(), "is gone since it was read"),
    "a byte of a part": (lambda case: flip(case.shards[0] / "part-00000.parquet"), "part-00000.parquet does not match"),
    "a byte of a ledger": (lambda case: flip(case.shards[0] / "ledger.parquet"), "ledger.parquet does not match"),
    "a byte of the weights": (
        lambda case: flip(case.run / "model" / "weights.safetensors"),
        "weights.safetensors does",
    ),
    "a better score": (
        lambda case: edit(case.run / "model" / "metrics.json", lambda facts: facts["test"].update(accuracy=1.0)),
        "metrics.json does not match",
    ),
    "a byte of the explanations": (lambda case: flip(case.run / "explain" / "explanations.parquet"), "explanations.p"),
    "a file added to the model": (lambda case: (case.run / "model" / "extra.json").touch(), "extra.json is not in"),
    "a receipt removed": (lambda case: (case.shards[-1] / "receipt.json").unlink(), "has no receipt"),
    "a shard's receipt edited": (in_receipt(lambda case: case.shards[0], ok=0), "does not name the receipt of prep"),
    "the model's receipt edited": (in_receipt(lambda case: case.run / "model", cost={}), "does not name the receipt"),
    "the last receipt edited": (
        in_receipt(lambda case: case.run / "explain", rows=1),
        "does not name the receipt of e",
    ),
    "the last receipt forged, its notebook too": (forge, "audit/explain.ipynb: has no seal"),
    "a space in the plan": (
        lambda case: replace(case.run / "plan.json", '"path": ', '"path":  '),
        "plan.json: is not as",
    ),
    "a size in the plan": (
        lambda case: replace(case.run / "plan.json", '"bytes": ', '"bytes": 1'),
        "plan.json: damaged",
    ),
    "a shard of another plan": (in_receipt(lambda case: case.shards[0], plan="00"), "made from another plan"),
    "two shards swapped": (
        lambda case: swap(case.shards[0], case.shards[1]),
        "does not name the receipt",
    ),
    "a shard too many": (lambda case: (case.run / "shards" / "00000-of-00009").mkdir(), "is not a shard of this plan"),
    "a model of other shards": (another_model, "was made from another"),
    "a line of code": (
        in_book("train", lambda book: tagged(book, "verdict").update(source="'better than guessing'")),
        "audit/train.ipynb: cell ",
    ),
    "a parameter": (
        in_book("explain", lambda book: tagged(book, "parameters").update(source="seed: int = 7")),
        "audit/explain.ipynb: cell ",
    ),
    "a word of prose": (
        in_book("train", lambda book: book["cells"][0].update(source="# Is it perfect?")),
        "audit/train.ipynb: cell 1 was changed",
    ),
    "a verdict": (in_book("train", other_answer), "audit/train.ipynb: what cell "),
    "a picture": (in_book("train", picture), "audit/train.ipynb: what cell "),
    "a printed line": (
        in_book(
            "train",
            lambda book: code(book)[3]["outputs"].append(
                {"output_type": "stream", "name": "stdout", "text": "all is well"}
            ),
        ),
        "prints was changed",
    ),
    "a time in a notebook's metadata": (
        in_book("train", lambda book: book["metadata"]["papermill"].update(start_time="2020-01-01T00:00:00")),
        "was saved again after its run",
    ),
    "a cell removed": (in_book("train", lambda book: without(book, 4)), "audit/train.ipynb: lacks a cell"),
    "two cells re-ordered": (in_book("train", lambda book: exchange(book, 4, 5)), "stand in another order"),
    "a cell added": (in_book("train", add), "was not in it when it ran"),
    "a cell run out of order": (
        in_book("explain", lambda book: code(book)[2].update(execution_count=99)),
        "was not executed from its first cell to its last",
    ),
    "notebooks of two stages swapped": (
        lambda case: swap(case.notebook("train"), case.notebook("explain")),
        "audit/train.ipynb: does not name the receipt",
    ),
    "notebooks of two shards swapped": (
        lambda case: swap(case.notebook("preprocess-00000"), case.notebook("preprocess-00001")),
        "audit/preprocess-00000-of-00002.ipynb: does not name the receipt",
    ),
    "a notebook removed": (lambda case: case.notebook("train").unlink(), "audit/train.ipynb: is missing"),
    "a notebook emptied": (lambda case: case.notebook("train").write_text("[]"), "is no notebook that can be read"),
    "a notebook of nested lists": (
        lambda case: case.notebook("explain").write_text("[" * 100_000),
        "audit/explain.ipynb: is no notebook that can be read",
    ),
    "a notebook of no stage": (
        lambda case: shutil.copy(case.notebook("train"), case.run / "audit" / "other.ipynb"),
        "audit/other.ipynb: is the notebook of no stage",
    ),
    "a folder in a receipt's place": (
        lambda case: folder_instead(case.run / "model" / "receipt.json"),
        "model/receipt.json: cannot be read",
    ),
    "a seal edited": (lambda case: edit(case.seal("train"), lambda seal: seal["cells"].pop()), "is damaged"),
    "a seal removed": (lambda case: case.seal("train").unlink(), "audit/train.ipynb: has no seal"),
    "the description for other tools": (
        lambda case: replace(case.run / "ro-crate-metadata.json", "CompletedActionStatus", "FailedActionStatus"),
        "ro-crate-metadata.json: does not describe",
    ),
}
# With another run to take them from.
FOREIGN: dict[str, tuple[Callable[[Case], object], str]] = {
    "another run's notebook": (
        lambda case: shutil.copy(case.other / "audit" / "train.ipynb", case.notebook("train")),
        "audit/train.ipynb: does not name the receipt",
    ),
    "another run's model": (
        lambda case: shutil.copytree(case.other / "model", case.run / "model", dirs_exist_ok=True),
        "was made from another 00000-of-00002",
    ),
    "another run's shard": (
        lambda case: shutil.copytree(next((case.other / "shards").glob("00000-*")), case.shards[0], dirs_exist_ok=True),
        "made from another plan",
    ),
}
UNPROVEN = ("report", "tracking", ".documents")  # made from the rest, notes of unfinished work, where the documents lie


def proven_files(run: Path) -> list[Path]:
    """Return every file of a run that must not change."""
    found = sorted(path for path in run.rglob("*") if path.is_file())
    return [path for path in found if path.relative_to(run).parts[0] not in UNPROVEN]


def unnoticed(run: Path) -> list[str]:
    """Change one bit of each file of a run, one at a time; return those where nothing was found."""
    missed = []
    for path in proven_files(run):
        whole = path.read_bytes()
        flip(path)
        if not verify(Run(run)) and not crate.findings(Run(run)):
            missed.append(path.relative_to(run).as_posix())
        path.write_bytes(whole)
    return missed


def link(source: str, target: str) -> None:
    """Stand in for copying a document."""
    Path(target).symlink_to(source)


def tampered(run: Path, documents: Path, kind: str, other: Path | None = None) -> list[str]:
    """Return what is found after one kind of tampering with copies of a run and its documents."""
    with tempfile.TemporaryDirectory() as folder:
        case = Case(Path(folder) / "run", Path(folder) / "documents", other)
        shutil.copytree(run, case.run)
        shutil.copytree(documents, case.documents, copy_function=link)
        {**KINDS, **FOREIGN}[kind][0](case)
        return prove(Run(case.run), case.documents).findings


def hit(kind: str, lines: list[str]) -> str:
    """Return the line that a kind of tampering must give, or nothing."""
    return next((line for line in lines if {**KINDS, **FOREIGN}[kind][1] in line), "")
