"""Describes a run as an RO-Crate, so that tools and archives of others know what was made from what, when and by what.

Unusual: everything is taken from receipts, and nothing from the clock, so the same run is described by the same bytes
and a description that is out of date is found. It is plain JSON, written directly: the library for RO-Crates copies
files and asks the network, and neither is wanted in a folder that is proven by its digests.

The profile is Process Run Crate 0.5, the newest one that the community's validator knows,
https://w3id.org/ro/wfrun/process/0.5, on RO-Crate 1.1.
"""

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nbpipe import seal
from nbpipe.audit import RECEIPT, Receipt, as_json, digest, find_receipt
from nbpipe.errors import WorkError
from nbpipe.preprocess.plan import Plan
from nbpipe.run import Run, write

NAME = "ro-crate-metadata.json"
_CRATE = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_FORMATS = {
    ".ipynb": "application/x-ipynb+json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/octet-stream",
}
_DOES = {
    "preprocess": "reads documents and writes their text, page by page",
    "train": "trains and scores a classifier on the text",
    "explain": "explains what the classifier says, and checks the explanations",
}
Entity = dict[str, Any]


def write_crate(run: Run) -> Path:
    """Write RUN/ro-crate-metadata.json anew where it says something else, and return it.

    Raises WorkError where the plan is missing or damaged.
    """
    path, content = run.folder / NAME, describe(run)
    if not path.exists() or path.read_bytes() != content:
        write(path, content)
    return path


def findings(run: Run) -> list[str]:
    """Return what is wrong with a run's description; a run without one lacks nothing."""
    path = run.folder / NAME
    if not path.exists() or (path.is_file() and path.read_bytes() == describe(run)):
        return []
    return [f"{NAME}: does not describe the run as it is; `nbpipe report` writes it again"]


def describe(run: Run) -> bytes:
    """Return the description of what is done of a run: its stages with receipts, their files and notebooks."""
    try:
        plan = Plan.decode(run.plan.read_bytes())
    except FileNotFoundError:
        raise WorkError(f"{run.folder.name}: holds no plan.json, so there is nothing to describe") from None
    graph = _Graph(run)
    shards = [run.shard(index, plan.num_shards) for index in range(plan.num_shards)]
    graph.inputs(plan)
    for folder in [*shards, run.model, run.explain]:
        receipt = _receipt(folder)
        if receipt:
            graph.stage(receipt, shards)
    return as_json({"@context": [f"{_CRATE}/context", _TERMS], "@graph": graph.whole()})


def _receipt(folder: Path) -> Receipt | None:
    try:
        return find_receipt(folder)
    except WorkError:  # damaged: `nbpipe verify` says so
        return None


@dataclass
class _Graph:
    """The description as it grows.

    parts: what lies in the run's folder; actions: what made it; ends: when; name: what the folder was called then.
    """

    run: Run
    entities: dict[str, Entity] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    name: str = ""

    def add(self, own: str, kind: str, /, **facts: Any) -> str:
        """Add an entity, and return its id."""
        self.entities[own] = {"@id": own, "@type": kind, **{key: value for key, value in facts.items() if value}}
        return own

    def inputs(self, plan: Plan) -> None:
        """Describe the documents, which are not part of the run, and the plan, which lists them."""
        count, size = len(plan.sizes), sum(plan.sizes.values())
        said = f"{count:,} documents of {size:,} bytes in all; plan.json lists them, parts hold the SHA-256 of each"
        self.add("#documents", "CreativeWork", name="The documents", description=said, identifier=plan.fingerprint)
        self.parts.append(self.file(self.run.plan, digest(self.run.plan)))

    def file(self, path: Path, sha256: str) -> str:
        """Describe a file of the run."""
        name = path.relative_to(self.run.folder).as_posix()
        guess = _FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        size = str(path.stat().st_size) if path.exists() else ""
        return self.add(quote(name), "File", name=name, encodingFormat=guess, contentSize=size, sha256=sha256)

    def stage(self, receipt: Receipt, shards: list[Path]) -> None:
        """Describe what a receipt proves: its files, its notebook, and how they came to be."""
        stage, stamp = receipt.facts["stage"], receipt.facts["stamp"]
        files = [self.file(receipt.folder / name, sha256) for name, sha256 in receipt.facts["files"].items()]
        files.append(self.file(receipt.folder / RECEIPT, receipt.digest))
        folder = self.add(self._place(receipt.folder), "Dataset", name=receipt.title, hasPart=_ids(files))
        books = [receipt.notebook, *seal.paths(receipt.notebook)] if receipt.notebook.exists() else []
        results = [folder, *(self.file(path, digest(path)) for path in books)]
        self.parts += results
        made_from = {"preprocess": ["#documents", "plan.json"], "train": [*map(self._place, shards)]}
        self.ends.append(stamp.get("finished", ""))
        self.name = self.name or receipt.facts["config"].get("run", "")
        action = self.add(
            f"#{receipt.title.replace(' ', '-')}",
            "CreateAction",
            name=f"{receipt.title}: {_DOES.get(stage, '')}",
            description=", ".join(f"{name} = {value!r}" for name, value in receipt.facts["config"].items()),
            instrument={"@id": self._tool(stage, stamp)},
            object=_ids(made_from.get(stage, [self._place(self.run.model), *map(self._place, shards)])),
            result=_ids(results),
            startTime=stamp.get("started"),
            endTime=stamp.get("finished"),
            actionStatus="http://schema.org/CompletedActionStatus",
        )
        self.actions.append(action)

    def _place(self, folder: Path) -> str:
        return quote(f"{folder.relative_to(self.run.folder).as_posix()}/")

    def _tool(self, stage: str, stamp: dict[str, Any]) -> str:
        """Describe the notebook of a stage, in one version, as a part of the package."""
        version = f"{stamp.get('nbpipe', 'unknown')}{'+' if stamp.get('commit') else ''}{stamp.get('commit') or ''}"
        package = self.add(f"#nbpipe-{quote(version)}", "SoftwareApplication", name="nbpipe", softwareVersion=version)
        packages = ", ".join(f"{name} {found}" for name, found in stamp.get("packages", {}).items())
        made_with = f"Python {stamp.get('python', 'unknown')} on {stamp.get('platform', 'unknown')}, with {packages}"
        return self.add(
            f"#{stage}.ipynb-{quote(version)}",
            "SoftwareSourceCode",
            name=f"nbpipe's notebook {stage}: it {_DOES.get(stage, '')}",
            description=made_with,
            version=version,
            programmingLanguage="Python",
            isPartOf={"@id": package},
        )

    def whole(self) -> list[Entity]:
        """Return every entity, those that say what the crate is first."""
        about = {"@id": NAME, "@type": "CreativeWork", "conformsTo": {"@id": _CRATE}, "about": {"@id": "./"}}
        self.add(_PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
        said = "Whoever holds the documents says how they, and what was made of them, may be used."
        self.add("#licence", "CreativeWork", name="Not stated", description=said)
        root = {
            "@id": "./",
            "@type": "Dataset",
            "name": f"nbpipe run {self.name}",
            "description": "A classifier of documents: their text, the model, its explanations, and the notebooks "
            "that made them, as they were executed.",
            "datePublished": max(self.ends, default="1970-01-01"),
            "license": {"@id": "#licence"},
            "conformsTo": {"@id": _PROFILE},
            "hasPart": _ids(self.parts),
            "mentions": _ids(self.actions),
        }
        return [about, root, *self.entities.values()]


def _ids(names: Iterable[str]) -> list[dict[str, str]] | dict[str, str]:
    """Return references to entities; a single one stands alone, as RO-Crate asks."""
    found = [{"@id": name} for name in names]
    return found[0] if len(found) == 1 else found
