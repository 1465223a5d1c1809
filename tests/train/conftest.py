"""Small run folders with made texts, as the preprocess stage leaves them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from nbpipe.audit import Stamp, as_json, write_receipt
from nbpipe.config import Preprocess, Train
from nbpipe.records import LEDGER, PART, write_table
from nbpipe.run import Run, write

TOPICS = {
    "cooking": "oven butter flour sugar recipe bake dough salt taste kitchen spoon simmer",
    "sailing": "wind sail harbour mast anchor deck tide rope crew port hull drift",
    "sky": "star orbit planet telescope galaxy comet light dust moon nebula lens zenith",
}
MakeRun = Callable[..., Path]


def made_texts(each: int = 20) -> dict[str, str]:
    """Return texts by path: each topic has words of its own, and all share some."""
    return {
        f"{topic}/{index:02d}.txt": " ".join(
            words.split()[(index * 7 + step * 5) % 12] if step % 3 else f"shared{(index + step) % 9}"
            for step in range(40)
        )
        + f" number{index} {topic[0]}{index}x"
        for topic, words in TOPICS.items()
        for index in range(each)
    }


def write_shard(run: Run, shard: int, of: int, texts: dict[str, str], **facts: Any) -> None:
    """Write one shard as the preprocess stage does; an empty text is a document of status empty."""
    folder = run.shard(shard, of)
    rows = [
        {
            "path": path,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "bytes": len(text),
            "status": "ok" if text else "empty",
            "pages": text.split("\f") if text else [],
        }
        for path, text in texts.items()
    ]
    write_table(folder / "part-00000.parquet", pa.Table.from_pylist(rows, PART))
    write_table(folder / "ledger.parquet", LEDGER.empty_table())
    identity = {"plan": "p1", "shard": shard, "num_shards": of, "parser": "parser 1", "rows": len(rows)}
    write_receipt(folder, "preprocess", Stamp.now(Preprocess(run=run.folder)), **{**identity, **facts})


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Networks this small are slower on two threads, and far slower beside other tests."""
    torch.set_num_threads(1)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes a run folder of texts by path, dealt to shards, and returns the folder."""

    def make(texts: dict[str, str] | None = None, num_shards: int = 2) -> Path:
        texts = made_texts() if texts is None else texts
        run, paths = Run(tmp_path / "run"), sorted(texts)
        documents = [{"path": path, "bytes": len(texts[path])} for path in paths]
        write(run.plan, as_json({"documents": documents, "num_shards": num_shards, "fingerprint": "p1"}))
        for shard in range(num_shards):
            write_shard(run, shard, num_shards, {path: texts[path] for path in paths[shard::num_shards]})
        return run.folder

    return make


@pytest.fixture
def config(make_run: MakeRun) -> Train:
    """A config of a run of three topics, on the CPU."""
    return Train(run=make_run(), device="cpu", epochs=8)


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """Return the function that writes one shard: (run, shard, of, texts by path, facts of its receipt)."""
    return write_shard
