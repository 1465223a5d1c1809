"""The preprocess stage as the notebook runs it: open a shard, estimate, parse, write the receipt.

Unusual: every step returns an object that shows itself, and running a step again is harmless: a finished shard is only
read, an interrupted one goes on after its last whole part.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from nbpipe.audit import Receipt, Stamp, find_receipt, read_receipt, write_receipt
from nbpipe.claim import claimed
from nbpipe.config import DEMO, STATUSES, Preprocess, resolve
from nbpipe.cost import Terms
from nbpipe.errors import WorkError
from nbpipe.preprocess.again import Again, roll_forward
from nbpipe.preprocess.attempt import fill
from nbpipe.preprocess.engines import Engine, cores, start
from nbpipe.preprocess.files import Document, list_documents
from nbpipe.preprocess.forecast import Forecast, Trial, foresee, kept
from nbpipe.preprocess.grow import drop_earlier, taken_over
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import parser_version
from nbpipe.preprocess.parts import Parts
from nbpipe.preprocess.plan import Plan, agree
from nbpipe.preprocess.sandbox import Outcome, warm_up
from nbpipe.preprocess.tesseract import tesseract_version
from nbpipe.records import LEDGER, PART, read_table
from nbpipe.run import Run, shard_name, writing
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.stopping import terminable

USABLE = 0.9
_SAMPLE, _PART, _MOST = 12, 20, 100  # documents of a trial: at least so many, else one of twenty, at most so many
_LISTED = 100
_READING = ("max_pages", "max_bytes", "ocr", "ocr_languages")  # options that decide a document's text
_LIMITS = ("timeout", "memory")


@dataclass(frozen=True, repr=False)
class Shard(Shown):
    """One shard's work: its config, the plan it comes from, and its documents on this machine."""

    config: Preprocess
    plan: Plan
    documents: list[Document]

    @cached_property
    def engine(self) -> Engine:
        """What parses them; raises RequestError where it cannot be reached."""
        return start(self.config)

    @property
    def options(self) -> Options:
        """How a document is read, and what it may take."""
        return Options.of(self.config.model_dump())

    @cached_property
    def parts(self) -> Parts:
        """The shard's files."""
        config = self.config
        numbers = {"shard": config.shard, "num_shards": config.num_shards}
        identity = {"plan": self.plan.fingerprint, "parser": parser_version(), **numbers}
        reading = {name: getattr(self.options, name) for name in _READING}
        return Parts(Run(config.run).shard(config.shard, config.num_shards), self.documents, identity, reading)

    @property
    def again(self) -> Again | None:
        """The second attempt that was asked for."""
        statuses, limits = self.config.statuses, {name: getattr(self.options, name) for name in _LIMITS}
        return Again(self.parts, statuses, limits) if statuses else None

    def parse(self, documents: list[Document]) -> Iterator[Outcome]:
        """Yield the outcome of each of some documents, parsed by this shard's engine."""
        return self.engine.parse(documents, self.options)

    def known(self, documents: list[Document]) -> Iterator[Outcome]:
        """Yield the outcomes of those documents that the plan before this one had, and whose bytes are the same."""
        return taken_over(Run(self.config.run), documents, parser_version())

    def shown(self) -> list[Table | Sentence]:
        """The plan, and this shard of it."""
        rows = [
            ("shard", f"{self.config.shard} of {self.config.num_shards}, counted from 0"),
            ("documents", len(self.documents)),
            ("megabytes", sum(document.bytes for document in self.documents) / 1e6),
            ("parsed on", self.engine.name),
            ("processes", self.engine.workers),
        ]
        return [*self.plan.shown(), Table(["this shard", ""], rows)]


def open_shard(config: Preprocess) -> Shard:
    """List the documents, make or check the plan, and return this shard of it.

    The demo's documents are made on first use. Raises RequestError where the folder is empty or differs from the plan.
    """
    Options.of(config.model_dump())  # a list of passwords that cannot be read stops here, before any work
    warm_up()
    if config.documents == resolve(DEMO):
        from nbpipe.preprocess import demo  # its libraries would slow every other start

        demo.make(config.documents)
    documents, run = list_documents(config.documents), Run(config.run)
    run.fetch(
        "plan.json",
        "forecast.json",
        f"shards/{shard_name(config.shard, config.num_shards)}/*",
        "earlier/*",
        ".documents",
    )
    with writing(run.folder):
        plan = agree(documents, run, config.num_shards)
        run.remember_documents(config.documents)
    mine = set(plan.shards[config.shard])
    return Shard(config, plan, [document for document in documents if document.id in mine])


def estimate(shard: Shard) -> Forecast:
    """Parse a few documents on this machine, drawn across the sizes, and return the forecast of shard and job.

    Prices and deadline are those that `nbpipe plan` kept in the run, else the usual ones.
    """
    count = min(max(_SAMPLE, len(shard.documents) // _PART), _MOST)
    planned = kept(Run(shard.config.run))
    terms = planned.terms if planned else Terms(cores=cores())
    job = [len(shard.plan.sizes), sum(shard.plan.sizes.values())]
    trial = Trial(count, min(shard.engine.workers, cores()), shard.options)
    return replace(foresee(shard.documents, trial, terms, job), workers=shard.engine.workers)


@dataclass(frozen=True, repr=False)
class Parsing(Shown):
    """What became of a shard's documents: the ledger, how long it took this time, and how many were done before."""

    shard: Shard
    ledger: pa.Table
    seconds: float
    before: int = 0

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of documents of each status."""
        found = Counter(self.ledger["status"].to_pylist())
        return {status: found[status] for status in STATUSES}

    @property
    def failures(self) -> Table:
        """The documents that gave no text, with the reason; the first hundred of them."""
        names = ["path", "status", "reason"]
        table = self.ledger.filter(pc.not_equal(self.ledger["status"], "ok")).select(names)
        rows = [list(row.values()) for row in table.slice(0, _LISTED).to_pylist()]
        hidden = f"; the first {_LISTED} of them, all are in ledger.parquet" if table.num_rows > _LISTED else ""
        return Table(names, rows, f"{table.num_rows:,} documents gave no text{hidden}")

    @property
    def slowest(self) -> Table:
        """The five documents that took longest."""
        top = self.ledger.sort_by([("seconds", "descending")]).slice(0, 5).to_pylist()
        rows = [(row["path"], row["pages"], row["seconds"], row["peak_bytes"] / 1e6, row["parser"]) for row in top]
        return Table(["path", "pages", "seconds", "peak MB", "parser"], rows, "The slowest documents")

    @property
    def example(self) -> Table:
        """The beginning of the first readable document's text, page by page."""
        for path in self.shard.parts.paths:
            part = read_table(path, PART)
            ok = part.filter(pc.equal(part["status"], "ok"))
            if ok.num_rows:
                pages = enumerate(ok["pages"][0].as_py()[:3], start=1)
                rows = [(number, " ".join(text.split())[:300]) for number, text in pages]
                return Table(["page", "its text begins"], rows, ok["path"][0].as_py())
        return Table(["page", "its text begins"], [], "no document gave text")

    @property
    def verdict(self) -> Sentence:
        """One sentence: did this shard become usable text?"""
        total, ok = self.ledger.num_rows, self.counts["ok"]
        share = ok / total if total else 1.0
        answer = "Yes" if share >= USABLE else "No"
        return Sentence(f"{answer}: {ok:,} of {total:,} documents ({share:.1%}) became text; {USABLE:.0%} were needed.")

    def shown(self) -> list[Table | Sentence]:
        """The number of documents of each status, the measured seconds, and what was parsed again or read by OCR."""
        total = max(self.ledger.num_rows, 1)
        rows = [(status, count, f"{count / total:.1%}") for status, count in self.counts.items() if count]
        return [Table(["status", "documents", "share"], rows, f"Measured: {self.seconds:,.1f} s"), *self._notes()]

    def _notes(self) -> Iterator[Sentence]:
        if self.before:
            yield Sentence(f"Not parsed this time, because they were before: {self.before:,} documents.")
        again = self.ledger.filter(pc.greater(pc.list_value_length(self.ledger["earlier"]), 0))
        if again.num_rows:
            text = Counter(again["status"].to_pylist())["ok"]
            yield Sentence(f"Parsed again: {again.num_rows:,} documents, of which {text:,} are text now.")
        scanned, read = (
            pc.sum(pc.list_value_length(self.ledger[name])).as_py() for name in ("scanned_pages", "ocr_pages")
        )
        if scanned:
            yield Sentence(f"Pages without a text layer: {scanned:,}, of which OCR read {read or 0:,}.")


def parse_shard(shard: Shard) -> Parsing:
    """Parse what this shard still lacks, writing each part as its last document comes.

    A shard made from another plan or by other parsers, or damaged since, is parsed anew; one that is finished is only
    read, save for documents that config.retry asks for again. While another process is at the shard, it is waited for.
    Raises WorkError where the run folder cannot be written, StoppedError on SIGTERM; what was finished is kept then.
    """
    began, parts, again = time.monotonic(), shard.parts, shard.again
    with terminable(), writing(shard.config.run), claimed(parts.folder) as work:
        roll_forward(parts.folder)
        if not parts.finished():
            if again and find_receipt(parts.folder):
                raise WorkError(f"{parts.folder.name}: damaged or out of date; run it again without retry first")
            fill(parts, shard.parse, work, shard.known)
        if again and again.before:
            again.run(shard.parse, work)
        before = work.progress.earlier
    ledger = again.merged / parts.ledger.name if again and again.before else parts.ledger
    return Parsing(shard, read_table(ledger, LEDGER), time.monotonic() - began, before)


def finish(parsing: Parsing, stamp: Stamp, forecast: Forecast | None = None) -> Receipt:
    """Write the shard's receipt, last of all, and return it; a receipt that still holds stays as it is.

    forecast: kept in the receipt beside the core-seconds that were measured.
    """
    parts, counts, again = parsing.shard.parts, parsing.counts, parsing.shard.again
    rows = parsing.ledger.num_rows
    facts = {"rows": rows, "ok": counts["ok"], "failed": rows - counts["ok"], "statuses": counts, **parts.identity}
    facts["cost"] = (forecast.facts() if forecast else {}) | {"seconds": sum(parsing.ledger["seconds"].to_pylist())}
    if parsing.shard.options.ocr == "auto":
        facts["ocr"] = f"tesseract {tesseract_version()}"  # what it reads depends on that
    with writing(parsing.shard.config.run), claimed(parts.folder) as work:
        work.check()
        if again and again.merged.exists() and again.before:
            again.commit(stamp, facts)
        elif not parts.finished():
            write_receipt(parts.folder, "preprocess", stamp, **facts)
        parts.drop_fragments()
    work.release()
    drop_earlier(Run(parsing.shard.config.run), parsing.shard.plan)
    return read_receipt(parts.folder)
