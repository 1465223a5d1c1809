"""One frozen, typed config per stage, and the only place where a parameter is judged.

Unusual: a config can be built from the names of a notebook. papermill only warns about a misspelt parameter and
converts what it is given (`1_0` becomes 10), so the names are read from the sources of the parameters cells, and the
spelling from papermill's own command line where there is one. `notebook.py` does that reading.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, model_validator

from nbpipe import copies, storage
from nbpipe.addresses import address_of, is_address, path_of, without_secrets
from nbpipe.array import outside, place
from nbpipe.errors import RequestError, nearest
from nbpipe.run import Run, planned
from nbpipe.shown import Sentence, Shown, Table

DEMO = "runs/demo-documents"
STATUSES = ("ok", "empty", "encrypted", "unreadable", "timeout", "crashed", "too_large", "unsupported")
_NUMBERS = {int: re.compile(r"[+-]?[0-9]+"), float: re.compile(r"[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?")}


def base() -> Path:
    """Return the folder where relative paths start: the working directory, or the one above it inside notebooks/.

    papermill runs in its caller's folder, Jupyter and nbval in the notebook's: so the same words mean the same place.
    """
    here = Path.cwd()
    return here.parent if here.name == "notebooks" and (here / "preprocess.ipynb").exists() else here


def resolve(value: Any) -> Path:
    """Return a path as an absolute one, relative ones starting at `base()`; of an address that of its copy."""
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ValueError("not a path")
    if is_address(value):
        return path_of(str(value))
    if "://" in str(value):
        raise ValueError("no address that can be used; accepted is such as s3://bucket/folder")
    return Path(os.path.normpath(base() / Path(value).expanduser()))


def relative(path: Path) -> str:
    """Return a path as people should see it: relative to `base()` where it lies below, else whole; or an address."""
    if place := address_of(path):
        return place
    return path.relative_to(base()).as_posix() if path.is_relative_to(base()) else str(path)


def _resolve_optional(value: Any) -> Path | None:
    return None if value is None or value == "" else resolve(value)


def _folder_or_name(value: Any) -> Any:
    """Return the absolute path of a folder that is there; a name of elsewhere, such as a hub's, as it is."""
    if isinstance(value, str) and is_address(value):
        copies.fetch(resolve(value), "*")
        if not resolve(value).is_dir():
            raise ValueError("holds nothing")
    return place if isinstance(value, str) and value.strip() and (place := resolve(value)).is_dir() else value


Place = Annotated[Path, BeforeValidator(resolve)]
OptionalPlace = Annotated[Path | None, BeforeValidator(_resolve_optional)]
FolderOrName = Annotated[Path | str, BeforeValidator(_folder_or_name)]


class Config(Shown, BaseModel):
    """What the three configs share. Each field's description says what is accepted; errors quote it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        """Take a stage's parameters; raise RequestError that names every wrong one."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            lines = [self._sentence(detail) for detail in error.errors(include_url=False)]
            raise RequestError("\n".join(lines)) from None

    @classmethod
    def _sentence(cls, detail: dict[str, Any]) -> str:
        if not detail["loc"]:
            return str(detail["ctx"]["error"])
        name, value = str(detail["loc"][0]), detail["input"]
        if detail["type"] == "extra_forbidden":
            names = ", ".join(cls.model_fields)
            return f"{name} = {value!r}: no such parameter{nearest(name, cls.model_fields)} (accepted: {names})"
        accepted = cls.model_fields[name].description
        if detail["type"] == "missing":
            return f"{name}: missing; accepted: {accepted}"
        choices = re.findall("'([^']+)'", str(detail.get("ctx", {}).get("expected", "")))
        hint = nearest(value, choices) if isinstance(value, str) else _quote_hint(name, detail)
        shown = without_secrets(repr(value))
        if "://" in shown and detail["type"] == "value_error":
            hint = f"; {detail['ctx']['error']}"
        return f"{name} = {shown} ({type(value).__name__}): accepted is {accepted}{hint}"

    @classmethod
    def read(cls, name: str, value: Any) -> Any:
        """Return text of a command line as the type of the parameter `name`; raise RequestError where it is lossy."""
        annotation = cls.model_fields[name].annotation
        kind, *others = get_args(annotation) or (annotation,)
        if kind is bool and isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower(), value)
        if not isinstance(value, str) or kind not in _NUMBERS:
            return value
        if value == "None" and type(None) in others:  # as papermill reads it
            return None
        if not _NUMBERS[kind].fullmatch(value):
            raise RequestError(f"{name} = {value!r}: accepted is {cls.model_fields[name].description}")
        return kind(value)

    def shareable(self) -> dict[str, Any]:
        """Return the values as JSON types; of a path only its last name, so that nothing private is shared."""
        values = self.model_dump()
        return {name: value.name if isinstance(value, Path) else value for name, value in values.items()}

    def shown(self) -> list[Table | Sentence]:
        """Each parameter with its value."""
        given = self.shareable()
        given |= {name: value.human_readable(decimal=True) for name, value in self if isinstance(value, ByteSize)}
        given |= {name: f"{value:g}" for name, value in self if isinstance(value, float)}
        return [Table(["parameter", "value"], list(given.items()))]

    __repr__ = Shown.__repr__


def _quote_hint(name: str, detail: dict[str, Any]) -> str:
    if detail["type"] in ("string_type", "value_error") and isinstance(detail["input"], int | float):
        return f"; papermill turns numbers into numbers: keep text with -r {name} VALUE"
    return ""


class Preprocess(Config):
    """Parameters of the preprocess stage."""

    documents: Place = Field(
        Path(DEMO),
        validate_default=True,
        description="a folder with documents, or its address such as s3://bucket/docs",
    )
    run: Place = Field(
        Path("runs/demo"),
        validate_default=True,
        description="the folder that holds everything this run makes, or its address such as s3://bucket/run",
    )
    # Whole numbers in every config that is made: None is looked up first.
    shard: int | None = Field(
        None, description="a whole number with 0 <= shard < num_shards; None: the scheduler's array index, else 0"
    )
    num_shards: int | None = Field(
        None, ge=1, le=99_999, description="a whole number from 1 to 99999; None: the scheduler's, the plan's, else 1"
    )
    workers: int = Field(0, ge=0, le=1024, description="a whole number of processes up to 1024; 0 means one per core")
    engine: Literal["local", "ray"] = Field("local", description="'local' or 'ray'; 'ray' parses on a Ray cluster")
    ray_address: str = Field(
        "",
        description="'auto', 'local' or an address such as '10.0.0.1:6379'; empty: that of RAY_ADDRESS, else a Ray "
        "that is started here; only for engine = 'ray'",
    )
    timeout: float = Field(60, gt=0, description="seconds a document may take, above 0")
    memory: ByteSize = Field(
        ByteSize(2_000_000_000),
        ge=64_000_000,
        description="memory a document may take, such as '2GB'; 64MB at least",
    )
    max_pages: int = Field(10_000, ge=1, description="a whole number of pages read of a document, 1 or more")
    max_bytes: ByteSize = Field(
        ByteSize(500_000_000), ge=1, description="the size of a file that is opened, such as '500MB'"
    )
    ocr: Literal["off", "auto"] = Field(
        "off", description="'off' or 'auto'; 'auto' reads pages without a text layer with Tesseract"
    )
    ocr_languages: str = Field(
        "eng",
        pattern=r"^[A-Za-z0-9_/-]+(\+[A-Za-z0-9_/-]+)*$",
        description="Tesseract's names of languages, such as 'eng' or 'eng+deu'",
    )
    retry: str = Field(
        "", description="statuses to parse again with these options, such as 'timeout,crashed'; empty: none"
    )

    def shareable(self) -> dict[str, Any]:
        """Return the values as JSON types, without what tells of the machines: paths, and a cluster's address."""
        values = super().shareable()
        return values if self.ray_address in ("", "auto", "local") else values | {"ray_address": "given"}

    @property
    def statuses(self) -> list[str]:
        """The statuses to parse again, each once."""
        return list(dict.fromkeys(filter(None, (word.strip() for word in self.retry.split(",")))))

    @model_validator(mode="before")
    @classmethod
    def _look_up(cls, values: dict[str, Any]) -> dict[str, Any]:
        run = values.get("run", cls.model_fields["run"].default)
        shard, num_shards = place(values.get("shard"), values.get("num_shards"), lambda: _planned(run))
        return values | {"shard": shard, "num_shards": num_shards}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for status in set(self.statuses) - set(STATUSES):
            hint = nearest(status, STATUSES)
            raise ValueError(f"retry = {status!r}: no such status{hint} (accepted: {', '.join(STATUSES)})")
        if self.ray_address and self.engine != "ray":
            raise ValueError(f"ray_address = {self.ray_address!r}: goes with engine = 'ray'; engine is {self.engine!r}")
        if not 0 <= self.shard < self.num_shards:
            raise ValueError(outside(self.shard, self.num_shards))
        if self.documents != resolve(DEMO):
            _need_folder("documents", self.documents)
        there = copies.bring(self.run) if address_of(self.run) else self.run.exists()
        if there and not storage.is_folder(self.run):
            raise ValueError(f"run = {relative(self.run)!r}: a file, not a folder")
        if self.documents in (self.run, *self.run.parents):
            raise ValueError(
                f"run = {relative(self.run)!r}: lies inside documents, so its files would become documents; "
                "accepted is a folder elsewhere"
            )
        return self


class Train(Config):
    """Parameters of the train stage."""

    run: Place = Field(Path("runs/demo"), validate_default=True, description="a run folder with preprocessed shards")
    labels: OptionalPlace = Field(
        None,
        description="a CSV file with the columns path,label (several labels as a|b) and, if wanted, group; empty: a "
        "document's first folder is its label",
    )
    model: Literal["bag", "gru", "attention", "pretrained"] = Field(
        "bag", description="'bag', 'gru', 'attention' or 'pretrained'"
    )
    bigrams: bool = Field(False, description="True or False; True: a bag also of pairs of neighbouring words")
    encoder: FolderOrName = Field(
        "", description="a folder with a Hugging Face encoder, or the hub's name of one; only for model = 'pretrained'"
    )
    freeze: bool = Field(False, description="True or False; True: a pretrained encoder stays as it is")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="'auto', 'cpu', 'cuda' or 'mps'")
    epochs: int = Field(
        60, ge=1, le=10_000, description="a whole number of passes at most, 1 to 10000; training stops early"
    )
    rare: Literal["drop", "merge", "refuse"] = Field(
        "drop", description="'drop', 'merge' or 'refuse'; what becomes of labels with too few documents to split"
    )
    weighting: Literal["none", "balanced"] = Field(
        "none", description="'none' or 'balanced'; 'balanced' gives every label the same weight in training"
    )
    target_accuracy: float = Field(
        0.95, gt=0, le=1, description="the accuracy that answers need, above 0 to 1; the rest is left to a person"
    )
    tracking: Literal["none", "tensorboard", "mlflow"] = Field(
        "none", description="'none', 'tensorboard' or 'mlflow'; where training curves go besides curves.jsonl"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="a whole number, 0 to 2147483647")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _need_folder("run", self.run)
        if self.labels and not copies.bring(self.labels):
            raise ValueError(f"labels = {relative(self.labels)!r}: no such file{_neighbour(self.labels)}")
        if (self.model == "pretrained") != bool(self.encoder):
            raise ValueError(
                f"encoder = {str(self.encoder)!r}: goes with model = 'pretrained', and that with an encoder; model is "
                f"{self.model!r}; accepted is {type(self).model_fields['encoder'].description}"
            )
        if self.freeze and self.model != "pretrained":
            raise ValueError(f"freeze = True: only a pretrained encoder can be frozen; model is {self.model!r}")
        if self.bigrams and self.model != "bag":
            raise ValueError(f"bigrams = True: only a bag has pairs of words; model is {self.model!r}")
        return self


class Explain(Config):
    """Parameters of the explain stage."""

    run: Place = Field(Path("runs/demo"), validate_default=True, description="a run folder with a trained model")
    sample: int = Field(100, ge=1, description="a whole number of test documents to explain, at most; 1 or more")
    method: Literal["integrated_gradients", "occlusion"] = Field(
        "integrated_gradients", description="'integrated_gradients' or 'occlusion'; the other one is the second opinion"
    )
    top: int = Field(10, ge=1, le=1000, description="a whole number of strongest words, 1 to 1000")
    least_fall: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="of probability, 0 to 1: how much further it must fall without the strongest words",
    )
    most_alike: float = Field(
        0.3, gt=0, le=1, description="rank correlation, above 0 to 1: reasons less alike than this are different ones"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("cpu", description="'cpu', 'auto', 'cuda' or 'mps'")
    seed: int = Field(0, ge=0, lt=2**31, description="a whole number, 0 to 2147483647")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _need_folder("run", self.run)
        return self


def _planned(run: Any) -> int | None:
    try:
        return planned(Run(resolve(run)))
    except ValueError:  # no path: it is refused as a parameter of its own
        return None


def _need_folder(name: str, path: Path) -> None:
    if not storage.is_folder(path):
        if place := address_of(path):
            raise ValueError(
                f"{name} = {place!r}: holds nothing, or is a file; accepted is a folder there that holds something"
            )
        kind = "a file, not a folder" if path.exists() else "no such folder"
        raise ValueError(
            f"{name} = {relative(path)!r}: {kind}{_neighbour(path)} (relative paths start at the working directory, "
            "inside notebooks/ at the folder above)"
        )


def _neighbour(path: Path) -> str:
    """Name what stands beside a missing path and is spelt nearly like it."""
    return nearest(path.name, [name for name in storage.names(path.parent) if name != path.name])
