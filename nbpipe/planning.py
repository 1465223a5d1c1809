"""What `nbpipe plan` is asked, and its answer: the forecast of a folder, or of a number of files.

Unusual: a folder is judged by the config of the stage itself, so that what is refused here is what the notebook would
refuse, and the sample is parsed with the limits of the real work.
"""

from dataclasses import dataclass, field
from pathlib import Path

from nbpipe.config import DEMO, Preprocess, resolve
from nbpipe.cost import GPU_PRICE, VM_PRICE, Terms, read_duration
from nbpipe.errors import RequestError
from nbpipe.pipeline import share_out
from nbpipe.preprocess.engines import cores
from nbpipe.preprocess.files import list_documents
from nbpipe.preprocess.forecast import Forecast, Trial, foresee, given, keep
from nbpipe.preprocess.options import Options
from nbpipe.run import Run


@dataclass(frozen=True)
class Question:
    """What is asked, in the words of the command line: documents, or a number of files and the seconds each takes."""

    documents: Path | None = None
    files: int | None = None
    each: float | None = None
    deadline: str = "2h"
    sample: int = 200
    vm_price: float = VM_PRICE
    gpu_price: float = GPU_PRICE
    cores: int | None = None
    run: Path | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    def terms(self, cores: int) -> Terms:
        """Return prices, deadline and cores; `cores` where none are said. Raises RequestError for a wrong one."""
        deadline = read_duration(self.deadline)
        return Terms(self.vm_price, self.gpu_price, deadline, cores if self.cores is None else self.cores)


def answer(asked: Question) -> tuple[Forecast, Path | None]:
    """Return the forecast, and the file in which it was kept; with a number of files, nothing is written.

    Raises RequestError where the question says too little, too much, or something that cannot be.
    """
    if asked.documents is not None and (asked.files, asked.each) != (None, None):
        raise RequestError(
            "DOCUMENTS and --files: give one of them; a folder is measured, so nothing need be said of it"
        )
    if asked.documents is not None:
        return _measured(asked)
    if asked.files is None or asked.each is None:
        lacking = "DOCUMENTS" if (asked.files, asked.each) == (None, None) else "--files and --seconds-per-file"
        raise RequestError(f"{lacking}: missing; accepted is a folder, or --files together with --seconds-per-file")
    if asked.run or asked.parameters:
        raise RequestError("--run and -p: need DOCUMENTS; with --files nothing is parsed and nothing is kept")
    return given(asked.files, asked.each, asked.terms(1)), None


def _measured(asked: Question) -> tuple[Forecast, Path]:
    """Parse a sample of the folder and keep the forecast in the run."""
    terms, run = asked.terms(cores()), asked.run or resolve(f"runs/{asked.documents.name}")
    for name in asked.parameters.keys() & {"documents", "run", "shard", "num_shards", "retry"}:
        raise RequestError(f"-p {name}: is said otherwise here; see nbpipe plan --help")
    config = Preprocess(**share_out({"documents": asked.documents, "run": run} | asked.parameters)["preprocess"])
    if config.documents == resolve(DEMO):
        from nbpipe.preprocess import demo  # its libraries would slow every other start

        demo.make(config.documents)
    documents = list_documents(config.documents)
    if not documents:
        raise RequestError("documents: the folder holds no documents (names that start with a dot are skipped)")
    trial = Trial(asked.sample, config.workers or min(terms.cores, cores()), Options.of(config.model_dump()))
    forecast = foresee(documents, trial, terms)
    keep(forecast, Run(config.run))
    return forecast, Run(config.run).forecast
