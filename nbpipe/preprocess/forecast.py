"""What a job will take before it is begun: core-hours, machines, dollars, and how many machines meet a deadline.

Unusual: the time is measured, not assumed: a sample of the documents is parsed by the very processes that do the work.
Seconds are those that a document keeps a process busy, as in the ledger; one process runs on each core.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from nbpipe.audit import digested, with_digest
from nbpipe.cost import Terms, dollars, duration, number
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.sampling import Total, quantile, share, stratify, total
from nbpipe.preprocess.sandbox import parse_all
from nbpipe.preprocess.trial import parse_warm, warm_seconds
from nbpipe.progress import progress
from nbpipe.run import Run, write
from nbpipe.shown import Picture, Sentence, Shown, Table, words

_MACHINES = (1, 2, 5, 10, 20, 50, 100)
_LONGEST = 3e13  # seconds
_FEWEST = 2  # documents of a sample, so that they can differ


@dataclass(frozen=True, repr=False)
class Forecast(Shown):
    """What parsing a job's documents takes: core-seconds with an interval, and seconds of single documents.

    sampled: how many were parsed to find out; 0 where the seconds were given. shard: of it, one shard's core-seconds,
    parsed by `workers` processes.
    """

    documents: int
    sampled: int
    whole: Total
    p50: float
    p90: float
    slowest: float
    terms: Terms
    shard: Total | None = None
    workers: int = 1

    def seconds(self, machines: int, core_seconds: float | None = None) -> float:
        """Return how long so many machines take; never less than the slowest single document."""
        work = self.whole.seconds if core_seconds is None else core_seconds
        return max(work / (machines * self.terms.cores), self.slowest)

    def dollars(self, machines: int) -> float:
        """Return what so many machines cost for as long as they take."""
        return machines * self.seconds(machines) / 3600 * self.terms.vm_price

    @property
    def smallest(self) -> int | None:
        """The smallest number of machines that meets the deadline even at the interval's upper end; None: no number."""
        if self.slowest > self.terms.deadline:
            return None
        return max(1, math.ceil(self.whole.high / (self.terms.cores * self.terms.deadline) * (1 - 1e-12)))

    @property
    def machines(self) -> list[int]:
        """The numbers of machines worth a row: no more cores than documents, and none that adds no speed."""
        useful = [count for count in _MACHINES if count * self.terms.cores <= self.documents]
        faster = [count for count in useful if self.whole.high / (count * self.terms.cores) > self.slowest]
        return sorted({1, *faster, *useful[len(faster) : len(faster) + 1], *filter(None, [self.smallest])})

    @property
    def answer(self) -> Sentence:
        """How many machines meet the deadline."""
        limit = duration(self.terms.deadline)
        if self.smallest is None:
            text = (
                f"No number of machines does it in {limit}: the slowest document alone takes {duration(self.slowest)}."
            )
            return Sentence(text)
        many = "1 machine does" if self.smallest == 1 else f"{self.smallest:,} machines do"
        margin = " even if it takes as long as the interval allows" if self.whole.high > self.whole.seconds else ""
        price = dollars(self.dollars(self.smallest))
        return Sentence(
            f"{many} it in {limit}{margin}; expected are {duration(self.seconds(self.smallest))} and {price}."
        )

    @property
    def picture(self) -> Picture:
        """Machines against time, with the deadline, as a picture."""
        from nbpipe.preprocess.chart import draw

        return draw(self)

    def shown(self) -> list[Table | Sentence]:
        """The job in figures, the machines with their hours and dollars, and the number that meets the deadline."""
        if not self.documents or not self.whole.seconds:
            return [Sentence("There are no documents here to parse as a sample, so nothing is forecast.")]
        columns = ["machines", "time", "time at most", "dollars", f"within {duration(self.terms.deadline)}"]
        caption = f"Machines with {_counted(self.terms.cores, 'core')} at ${self.terms.vm_price:,.2f} an hour"
        table = Table(columns, [self._row(count) for count in self.machines], caption)
        return [Table(["forecast", ""], self._figures()), table, self.answer, self._gpu()]

    def _row(self, count: int) -> list[Any]:
        expected, most = self.seconds(count), self.seconds(count, self.whole.high)
        return [count, duration(expected), duration(most), dollars(self.dollars(count)), most <= self.terms.deadline]

    def _figures(self) -> list[tuple[str, Any]]:
        rows: list[tuple[str, Any]] = [("documents", self.documents)]
        if self.sampled:
            rows += [
                ("parsed as a sample", self.sampled),
                ("time a document, p50", duration(self.p50)),
                ("time a document, p90", duration(self.p90)),
                ("slowest in the sample", duration(self.slowest)),
            ]
        else:
            rows += [("time a document, as given", duration(self.slowest))]
        if self.shard:
            taken = Total(*(value / self.workers for value in (self.shard.seconds, self.shard.low, self.shard.high)))
            rows += [(f"this shard, {_counted(self.workers, 'process', 'processes')}", _between(taken, duration))]
        return [*rows, ("core-hours of all documents", _between(self.whole, _hours))]

    def _gpu(self) -> Sentence:
        price = dollars(self.seconds(1) / 3600 * self.terms.gpu_price)
        return Sentence(
            f"Parsing uses no GPU: on the GPU machine, with as many cores, it would take {duration(self.seconds(1))} "
            f"and cost {price} instead of {dollars(self.dollars(1))}."
        )

    def facts(self) -> dict[str, Any]:
        """Return what a shard's receipt keeps: its predicted core-seconds, and the price and cores they were priced by.

        What was measured is added when it is known: {"seconds": ...}.
        """
        part = self.shard or self.whole
        predicted = {"predicted_seconds": part.seconds, "predicted_low": part.low, "predicted_high": part.high}
        return predicted | {"device": "cpu", "vm_price": self.terms.vm_price, "cores": self.terms.cores}

    def encode(self) -> bytes:
        """Return forecast.json."""
        left_out = ("shard", "workers")
        return with_digest({name: value for name, value in asdict(self).items() if name not in left_out})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the forecast of a forecast.json; raise WorkError where it is damaged."""
        try:
            content = digested(data)
            whole, terms = Total(**content.pop("whole")), Terms(**content.pop("terms"))
            found = cls(whole=whole, terms=terms, **content)
            figures = [*asdict(whole).values(), found.p50, found.p90, found.slowest, found.documents, found.sampled]
            if all(number(value) is not None for value in figures) and whole.low <= whole.seconds <= whole.high:
                return found
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise WorkError("forecast.json: damaged; make it again with `nbpipe plan`, or delete it")


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _between(found: Total, say: Callable[[float], str]) -> str:
    """Return a total with its interval, where it has one, in the words of `say`."""
    ends = f" ({say(found.low)} to {say(found.high)})" if found.low < found.high else ""
    return say(found.seconds) + ends


def _hours(seconds: float) -> str:
    """Return seconds as core-hours, with the digits that matter."""
    if seconds < 3.6:
        return "under 0.001"
    return words(seconds / 3600) if seconds >= 36000 else f"{seconds / 3600:.2g}"


def given(files: int, seconds_per_file: float, terms: Terms) -> Forecast:
    """Return the forecast of so many documents that take so many seconds each, without parsing any."""
    if not number(seconds_per_file):
        raise RequestError(f"seconds_per_file = {seconds_per_file!r}: accepted are seconds above 0")
    work = files * seconds_per_file
    if work > _LONGEST:
        raise RequestError(f"{files:,} files of {seconds_per_file:g} seconds: more than a million years; is it right?")
    return Forecast(files, 0, Total(work, work, work), *[seconds_per_file] * 3, terms)


@dataclass(frozen=True)
class Trial:
    """How a sample is parsed: how many documents, by how many processes, with which limits, drawn by what seed."""

    count: int
    workers: int
    options: Options
    seed: int = 0


def foresee(documents: Sequence[Document], trial: Trial, terms: Terms, job: Sequence[int] = ()) -> Forecast:
    """Parse a sample of documents and return the forecast of them all; of the job too, of which they are one shard.

    job: the number of all shards' documents and bytes, where these documents are not all. Shards are dealt evenly, so
    this one's strata stand for the job's. Raises RequestError for a sample too small to say anything.
    """
    if trial.count < _FEWEST:
        raise RequestError(f"sample = {trial.count!r}: accepted is a whole number, {_FEWEST} or more")
    strata = stratify(documents, trial.count, trial.seed)
    seconds = measure([document for stratum in strata for document in stratum.drawn], trial)
    groups = [(len(s.documents), [seconds[document.id] for document in s.drawn]) for s in strata]
    own = [len(documents), sum(document.bytes for document in documents)]
    times = 1 / share(own, job) if job and documents else 1.0
    scaled = [(size * times, found) for size, found in groups]
    singles = [quantile(groups, 0.5), quantile(groups, 0.9), max(seconds.values(), default=0.0)]
    count = job[0] if job else len(documents)
    shard = total(groups) if job else None
    return Forecast(count, len(seconds), total(scaled), *singles, terms, shard, trial.workers)


def measure(sample: Sequence[Document], trial: Trial) -> dict[str, float]:
    """Parse documents, and return the seconds that each kept a process busy, by its id."""
    limit = trial.options.timeout
    twice = replace(trial.options, timeout=2 * limit)  # since the first document of a kind is read twice
    outcomes = parse_all(sample, twice, trial.workers, parse_warm)
    return {outcome.id: min(warm_seconds(outcome), limit) for outcome in progress(outcomes, total=len(sample))}


def keep(forecast: Forecast, run: Run) -> None:
    """Write RUN/forecast.json, so that the report can compare it with what the run took."""
    write(run.forecast, forecast.encode())


def kept(run: Run) -> Forecast | None:
    """Return the forecast that `nbpipe plan` kept in a run, None where there is none; WorkError for a damaged one."""
    return Forecast.decode(run.forecast.read_bytes()) if run.forecast.is_file() else None
