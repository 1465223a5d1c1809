"""The command line. Every command calls one function; what it finds goes to stdout, what people read to stderr.

Unusual: each command imports what it needs when it runs, so `nbpipe status` starts without torch.
"""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from nbpipe import __version__
from nbpipe.addresses import address_of, without_secrets
from nbpipe.book import SLOW_CHECKER
from nbpipe.config import DEMO, relative, resolve
from nbpipe.cost import GPU_PRICE, VM_PRICE
from nbpipe.errors import NbpipeError, RequestError
from nbpipe.run import Run
from nbpipe.stopping import KEPT
from nbpipe.storage import is_folder


def _terminated(*_: object) -> None:
    """End, and so end the notebooks in flight too."""
    click.echo(f"nbpipe: stopped by SIGTERM; {KEPT}", err=True)
    sys.exit(143)


class _Group(click.Group):
    """Turns the two errors for people into one line on stderr and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, _terminated)
        sys.modules.setdefault(SLOW_CHECKER, None)  # type: ignore[arg-type]
        try:
            return super().invoke(ctx)
        except NbpipeError as error:
            click.echo(f"nbpipe: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("nbpipe: stopped; what was finished is kept, and the same command goes on from there", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise
        except OSError as error:
            name = relative(Path(error.filename)) if error.filename else "a file"
            click.echo(f"nbpipe: {name}: {error.strerror or error}", err=True)
            ctx.exit(1)


class _Place(click.ParamType):
    """A path, relative ones starting where the notebooks' do."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value).strip():
            self.fail("is empty", param, ctx)
        try:
            return resolve(value)
        except ValueError as error:
            self.fail(f"{without_secrets(str(value))!r}: {error}", param, ctx)


PLACE = _Place()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nbpipe")
def main() -> None:
    """From a folder of documents to a classifier that can be explained."""


def _pairs(ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return dict(value)


@main.command()
@click.option("--run", type=PLACE, default="runs/demo", show_default=True, help="The run folder.")
def demo(run: Path) -> None:
    """Make a small corpus and run everything on it."""
    _execute({"documents": resolve(DEMO), "run": run})


@main.command()
@click.argument("documents", type=PLACE, required=False)
@click.option("--files", type=click.IntRange(min=1), help="Instead of DOCUMENTS: how many there are ...")
@click.option("--seconds-per-file", "each", type=float, help="... and how many seconds each takes on one core.")
@click.option("--deadline", default="2h", show_default=True, help="What it may take, as in 90m, 2h, 1h30m or 45s.")
@click.option("--sample", default=200, show_default=True, help="How many documents are parsed to find out.")
@click.option("--vm-price", default=VM_PRICE, show_default=True, help="Dollars an hour of a machine.")
@click.option("--gpu-price", default=GPU_PRICE, show_default=True, help="Dollars an hour of a machine with a GPU.")
@click.option("--cores", type=int, help="Cores of each machine.  [default: as many as here; with --files 1]")
@click.option("--run", type=PLACE, help="The run folder.  [default: runs/NAME-OF-THE-FOLDER]")
@click.option("-p", "parameters", type=(str, str), multiple=True, callback=_pairs, metavar="NAME VALUE")
def plan(**asked: Any) -> None:
    """Say what preprocessing DOCUMENTS will take, from a sample of them: core-hours, machines, dollars.

    Says how many machines meet the deadline. The forecast is kept in the run, where the report compares it with what
    happened. -p sets parameters as `nbpipe run` does, such as -p ocr auto.
    """
    from nbpipe.planning import Question, answer

    forecast, place = answer(Question(**asked))
    click.echo(forecast)
    if place:
        click.echo(f"kept in {relative(place)}", err=True)


@main.command("run")
@click.argument("documents", type=PLACE)
@click.option("--run", type=PLACE, help="The run folder.  [default: runs/NAME-OF-THE-FOLDER]")
@click.option("--shards", type=int, help="Into how many parts the documents are dealt.  [default: 1, or the plan's]")
@click.option("--labels", type=PLACE, help="A CSV file with the columns path,label.")
@click.option("--engine", type=click.Choice(["local", "ray"]), help="What parses: this machine, or a Ray cluster.")
@click.option("-p", "parameters", type=(str, str), multiple=True, callback=_pairs, metavar="NAME VALUE")
def run_command(
    documents: Path,
    run: Path | None,
    shards: int | None,
    labels: Path | None,
    engine: str | None,
    parameters: dict[str, str],
) -> None:
    """Run the three notebooks on a folder of DOCUMENTS, or go on where an earlier run stopped.

    -p sets any parameter of the notebooks, such as -p timeout 120, or -p ray_address auto for --engine ray.
    """
    given = {"documents": documents, "run": run or resolve(f"runs/{documents.name}")}
    given |= {
        name: value
        for name, value in (("num_shards", shards), ("labels", labels), ("engine", engine))
        if value is not None
    }
    for name in parameters.keys() & {"shard", "retry", *given}:
        raise RequestError(f"-p {name}: is said otherwise here; see nbpipe run --help")
    _execute(given | parameters)


def _execute(given: dict[str, Any]) -> None:
    from nbpipe.crate import write_crate
    from nbpipe.pipeline import run_all
    from nbpipe.report.site import build

    run = run_all(given)
    write_crate(run)
    index = build(run)
    click.echo("report:", err=True)
    _tell(index)


def _tell(index: Path) -> None:
    """Print where a report is; of one in object storage also where its copy can be opened."""
    click.echo(address_of(index) or index)
    if address_of(index):
        click.echo(f"to open it on this machine: {index}", err=True)


@main.command()
@click.argument("run", type=PLACE)
@click.argument("documents", type=PLACE)
@click.option("--out", type=PLACE, help="A CSV file to write.  [default: stdout]")
def predict(run: Path, documents: Path, out: Path | None) -> None:
    """Label DOCUMENTS with the model of RUN: a folder, a file, or another run that has parsed them already; CSV.

    abstain says where an answer is too unsure for the accuracy that training was asked for.
    """
    from nbpipe.predict import predict as predictions
    from nbpipe.predict import write_csv
    from nbpipe.run import replacing

    if out is not None and is_folder(out):
        raise RequestError(f"--out {out.name}: a folder; accepted is a file to write")
    if out is None:
        write_csv(predictions(Run(run), documents), sys.stdout)
        return
    with replacing(out) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        count = write_csv(predictions(Run(run), documents), file)
    click.echo(f"{count} documents labelled", err=True)


@main.command()
@click.argument("run", type=PLACE)
@click.option("--watch", is_flag=True, help="Look again every two seconds, until every stage is done.")
def status(run: Path, watch: bool) -> None:
    """Say how far every shard and stage of RUN is: from the run folder alone, so on any machine that sees it."""
    from nbpipe.status import Status, read_status
    from nbpipe.status import watch as look

    shown = ""

    def show(status: Status) -> None:
        nonlocal shown
        if sys.stdout.isatty() or repr(status) != shown:  # a log gets what is new
            click.clear()  # does nothing where there is no terminal
            click.echo(status)
        shown = repr(status)

    look(Run(run), show) if watch else click.echo(read_status(Run(run)))


@main.command()
@click.argument("run", type=PLACE)
@click.option("--status", "statuses", default="timeout,crashed", show_default=True, help="Which documents, by status.")
@click.option("--timeout", help="Seconds a document may take now.")
@click.option("--memory", help="Memory a document may take now, such as 8GB.")
@click.option("-p", "parameters", type=(str, str), multiple=True, callback=_pairs, metavar="NAME VALUE")
def retry(run: Path, statuses: str, timeout: str | None, memory: str | None, parameters: dict[str, str]) -> None:
    """Parse some documents of RUN again with other limits; the ledger keeps the first verdict.

    -p sets any parameter of the preprocess notebook, such as -p ocr auto, or -p documents FOLDER where they lie
    elsewhere on this machine. Prints how to run the shards that are missing altogether.
    """
    from nbpipe.pipeline import retry_run

    given = {name: value for name, value in (("timeout", timeout), ("memory", memory)) if value is not None}
    for name in given.keys() & parameters.keys():
        raise RequestError(f"-p {name}: is said twice, with --{name} too")
    lines = retry_run(Run(run), statuses, given | parameters)
    if lines:
        click.echo("some shards are missing (leave out those that a scheduler still holds); to run them:", err=True)
    for line in lines:
        click.echo(line)


@main.command()
@click.argument("run", type=PLACE)
@click.option("--documents", type=PLACE, help="Where the documents lie.  [default: where they lay when RUN was made]")
def grow(run: Path, documents: Path | None) -> None:
    """Take documents into RUN that were added to its folder, and drop those that are gone.

    The plan is extended; then `nbpipe run`, or a machine for each shard as before, parses what is new and takes over
    the rest: a document with the same id and the same bytes is never parsed twice. A change that leaves a document's
    size as it was is not looked for; `nbpipe verify` finds it.
    """
    from nbpipe.pipeline import grow_run

    growth = grow_run(Run(run), documents)
    click.echo(growth)
    if any(growth.changes.values()):
        click.echo("to parse what is new, and to train on all: the commands that made the run", err=True)


@main.command()
@click.argument("run", type=PLACE)
@click.option("--documents", type=PLACE, help="Where the documents lie.  [default: where they lay when RUN was made]")
def verify(run: Path, documents: Path | None) -> None:
    """Prove RUN again, from the bytes of its documents to its executed notebooks; one line per finding.

    Says one digest that stands for all of it. Who can write to a run can write another one: note that digest elsewhere.
    """
    from nbpipe.verify import prove

    proof = prove(Run(run), documents)
    for line in proof.remarks:
        click.echo(line, err=True)
    for line in proof.findings:
        click.echo(line)
    if proof.findings:
        sys.exit(1)
    what = "file, receipt and notebook" if proof.remarks else "document, file, receipt and notebook"
    click.echo(f"verified: every {what} agrees; sha256 of the run: {proof.digest}", err=True)
    if (run / "report").exists():
        click.echo("not looked at: report/, which `nbpipe report` makes again from what was verified", err=True)


@main.command()
@click.argument("runs", type=PLACE, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=PLACE, help="Of several RUNs: the folder to write.  [default: comparison, beside RUN]")
def report(runs: tuple[Path, ...], out: Path | None) -> None:
    """Render the executed notebooks of RUN as one offline HTML site; prints where it is.

    Also describes RUN for other tools, in RUN/ro-crate-metadata.json. Several RUNs: the report of each and a page that
    compares them, in a folder of their own.
    """
    from nbpipe.crate import write_crate
    from nbpipe.report.gallery import compare
    from nbpipe.report.site import build

    if len(runs) == 1 and out is not None:
        raise RequestError(f"--out {out.name}: goes with several runs; the report of one is in its own folder")
    index = build(Run(runs[0])) if len(runs) == 1 else compare([Run(run) for run in runs], out)
    if len(runs) == 1:
        write_crate(Run(runs[0]))
    _tell(index)
