"""One finished run for the tests that read runs, made once by the command line itself; run folders of made texts."""

import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from nbpipe.array import NUM_SHARDS, SCHEDULERS, SHARD
from nbpipe.audit import Stamp, as_json, write_receipt
from nbpipe.cli import main
from nbpipe.config import Preprocess
from nbpipe.records import LEDGER, PART, write_table
from nbpipe.run import Run, write

TOPICS = {
    "cooking": "oven butter flour sugar recipe bake dough salt taste kitchen spoon simmer",
    "sailing": "wind sail harbour mast anchor deck tide rope crew port hull drift",
    "astronomy": "star orbit planet telescope galaxy comet light dust moon sky nebula lens",
}
SHARED = ["the", "of", "and", "to", "in", "it", "is", "was", "that", "for", "on", "with", "as", "at", "by", "this"]


def make_documents(folder: Path, each: int = 20) -> None:
    """Write text documents in one folder per topic, each with words of its own and words of all topics."""
    for topic, words in TOPICS.items():
        own = words.split()
        (folder / topic).mkdir(parents=True)
        for index in range(each):
            text = [
                own[(index * 7 + step * 5) % len(own)] if step % 3 else SHARED[(index + step) % len(SHARED)]
                for step in range(60)
            ]
            (folder / topic / f"{index:02d}.txt").write_text(f"{' '.join(text)} {index}")


def nbpipe(*words: object, where: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of nbpipe in a folder."""
    command = [sys.executable, "-c", "from nbpipe.cli import main; main()", *map(str, words)]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300)


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


def write_run(folder: Path, texts: dict[str, str], num_shards: int = 2, **facts: Any) -> Path:
    """Write a run folder of texts by path, dealt to shards whose receipts hold these facts, and return the folder."""
    run, paths = Run(folder), sorted(texts)
    documents = [{"path": path, "bytes": len(texts[path])} for path in paths]
    write(run.plan, as_json({"documents": documents, "num_shards": num_shards, "fingerprint": "p1"}))
    for shard in range(num_shards):
        write_shard(run, shard, num_shards, {path: texts[path] for path in paths[shard::num_shards]}, **facts)
    return folder


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the scheduler that runs the tests themselves, if one does."""
    for name in (SHARD, NUM_SHARDS, *(scheduler.index for scheduler in SCHEDULERS)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds documents/, labels.csv and runs/documents, run in two shards; only to be read."""
    folder = tmp_path_factory.mktemp("finished")
    make_documents(folder / "documents")
    (folder / "documents" / "cooking" / "broken.pdf").write_bytes(b"%PDF-1.4 nothing more")
    paths = sorted(path.relative_to(folder / "documents") for path in (folder / "documents").glob("*/*"))
    rows = [f"{path.as_posix()},{path.parent}" for path in paths]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]))
    done = nbpipe("run", "documents", "--labels", "labels.csv", "--shards", "2", where=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run_copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be damaged."""
    return shutil.copytree(finished / "runs" / "documents", tmp_path / "run")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Run a command of nbpipe in an empty folder; in this process, since each new one costs seconds of imports."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *words: CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., None]:
    """Return the function that writes text documents, a folder per topic: (folder, documents of each)."""
    return make_documents


@pytest.fixture(scope="session")
def make_runs() -> Callable[..., Path]:
    """Return the function that writes a run folder: (folder, texts by path, num_shards, facts of its receipts)."""
    return write_run


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """Return the function that writes one shard: (run, shard, of, texts by path, facts of its receipt)."""
    return write_shard


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers that reads 16 tokens, with random weights, and a tokenizer of whole words."""
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("tiny")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "wind", "sail", "mast", "oven", "flour", "bake"]
    plain = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **names).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "hidden_dropout_prob": 0.0,
    }
    config = transformers.BertConfig(vocab_size=len(words), max_position_embeddings=16, initializer_range=0.5, **sizes)
    transformers.BertModel(config).save_pretrained(folder)
    return folder
