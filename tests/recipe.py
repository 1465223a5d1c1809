"""What tests of the README's recipes share: what a user has before the first command, and what must come of it.

Unusual: one document is a Word file of under a kilobyte whose half a million empty paragraphs take seconds, so that a
process can be killed in its midst.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_BZIP2, ZipFile

from nbpipe.array import NUM_SHARDS, SCHEDULERS, SHARD
from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.preprocess.files import list_documents
from nbpipe.preprocess.plan import Plan
from nbpipe.preprocess.stage import finish, open_shard, parse_shard
from nbpipe.run import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SHARDS, SLOW, SLOW_PARAGRAPHS = 10, "sailing/slow.docx", 500_000


def written(pattern: str) -> str:
    """Return the one place of the README that a pattern with one group finds."""
    (found,) = re.findall(pattern, README, re.MULTILINE)
    return found


def until(holds: Callable[[], object], seconds: float = 240) -> None:
    """Wait for something, and fail where it does not come."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.1)


@dataclass(frozen=True)
class Site:
    """A folder with documents, notebooks and params, on a machine with an environment."""

    folder: Path
    variables: Mapping[str, str]

    @property
    def run(self) -> Run:
        """The run that params/*.yaml name."""
        return Run(self.folder / "runs" / "production")

    @property
    def environment(self) -> dict[str, str]:
        """What commands get there: no scheduler's task, and the Python that runs the tests."""
        hidden = {SHARD, NUM_SHARDS, *(scheduler.index for scheduler in SCHEDULERS)}
        kept = {name: value for name, value in self.variables.items() if name not in hidden}
        return kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])}

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line there."""
        return subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )

    def furnish(self, make_corpus: Callable[..., None], script: str) -> None:
        """Put into the folder what a user has before the first command; script: what preprocess.sh holds."""
        make_corpus(self.folder / "documents", 10)
        for path in self.folder.glob("documents/*/00.txt"):
            path.write_text(path.read_text() * 5)  # dealt before the slow one, so that it is not in shard 0
        with ZipFile(self.folder / "documents" / SLOW, "w", ZIP_BZIP2) as archive:
            text = f"<d><p><t>wind and tide</t></p>{'<p/>' * SLOW_PARAGRAPHS}</d>"
            archive.writestr("word/document.xml", text)
        for name in ("notebooks", "params"):
            (self.folder / name).symlink_to(ROOT / name)
        (self.folder / "preprocess.sh").write_text(script)

    def slow_shard(self) -> int:
        """Return the shard that holds the slow document."""
        sizes = {document.id: document.bytes for document in list_documents(self.folder / "documents")}
        (shard,) = [index for index, ids in enumerate(Plan(sizes, SHARDS).shards) if SLOW in ids]
        return shard

    def parts_here(self, run: Path) -> dict[str, bytes]:
        """Parse every shard in this process, into another run, and return the bytes of its parts."""
        for shard in range(SHARDS):
            config = Preprocess(documents=self.folder / "documents", run=run, shard=shard, num_shards=SHARDS, workers=1)
            finish(parse_shard(open_shard(config)), Stamp.now(config))
        return parts(run)


def parts(run: Path) -> dict[str, bytes]:
    """Return the bytes of every part of a run."""
    return {str(path.relative_to(run)): path.read_bytes() for path in run.glob("shards/*/part-*.parquet")}
