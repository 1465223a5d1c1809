"""What the commands print, where, and with which exit code."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from nbpipe.audit import trusted
from nbpipe.cli import main
from nbpipe.records import LEDGER, read_table
from nbpipe.verify import notebook_findings

Command = Callable[..., Result]
README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"nbpipe {name}" in README


def test_a_finished_run_is_complete(finished: Path, command: Command) -> None:
    run = finished / "runs" / "documents"
    assert sorted(path.name for path in (run / "audit").iterdir()) == [
        "explain.ipynb",
        "preprocess-00000-of-00002.ipynb",
        "preprocess-00001-of-00002.ipynb",
        "seals",
        "train.ipynb",
    ]
    proven = command("verify", run)
    assert (proven.exit_code, proven.stdout) == (0, "")
    assert proven.stderr.startswith("verified: every document, file, receipt and notebook agrees; sha256 of the run: ")
    shown = command("status", run, "--watch").stdout
    assert [line.split("  ")[0] for line in shown.splitlines()[1:5]] == [
        "preprocess 00000-of-00002",
        "preprocess 00001-of-00002",
        "train",
        "explain",
    ]
    assert "Shards: 2 done. Documents: 61 of 61." in shown


def test_nothing_private_is_in_the_audit_record(finished: Path) -> None:
    for path in (finished / "runs" / "documents").rglob("*"):
        if path.suffix in (".ipynb", ".json", ".html", ".md"):
            assert str(finished) not in path.read_text(), path.name


def test_several_runs_are_compared_in_a_folder_of_their_own(finished: Path, run_copy: Path, command: Command) -> None:
    done = command("report", finished / "runs" / "documents", run_copy, "--out", "shared")
    assert done.stdout.strip().endswith("shared/index.html")
    shared = Path(done.stdout.strip()).parent
    assert sorted(path.name for path in shared.iterdir()) == ["documents", "index.html", "run"]
    assert "tested on the same" in (shared / "index.html").read_text()


def test_the_report_of_one_run_goes_nowhere_else(run_copy: Path, command: Command) -> None:
    done = command("report", run_copy, "--out", "shared")
    assert (done.exit_code, "goes with several runs" in done.stderr) == (2, True)


def test_the_same_command_again_finds_everything_done(finished: Path, command: Command) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "runs" / "documents" / "audit").iterdir()}
    same = ["--labels", finished / "labels.csv", "--run", finished / "runs" / "documents"]
    again = command("run", finished / "documents", *same)
    assert again.stderr.count("was done already") == 3
    assert again.stdout.strip().endswith("report/index.html")
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_predict_answers_every_document(finished: Path, command: Command) -> None:
    done = command("predict", finished / "runs" / "documents", finished / "documents")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert list(rows) == sorted(rows)
    assert len(rows) == 61
    assert rows["cooking/broken.pdf"] == {
        "path": "cooking/broken.pdf",
        "label": "",
        "probability": "",
        "status": "unreadable",
        "abstain": "true",
    }
    right = [path for path, row in rows.items() if row["label"] == path.split("/")[0]]
    assert len(right) >= 55


def test_predict_writes_a_file_whole_or_not_at_all(finished: Path, command: Command, tmp_path: Path) -> None:
    run, one = finished / "runs" / "documents", finished / "documents" / "sailing" / "03.txt"
    assert command("predict", run, one, "--out", "out.csv").exit_code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("03.txt,sailing,")
    failed = command("predict", run, "nowhere", "--out", "other.csv")
    assert (failed.exit_code, (tmp_path / "other.csv").exists()) == (2, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "docs"], "documents = 'docs': no such folder"),
        (["run", ".", "-p", "shrad", "3"], "shrad = '3': no such parameter; did you mean 'shard'"),
        (["run", ".", "-p", "epochs", "1_0"], "epochs = '1_0': accepted is a whole number"),
        (["run", ".", "-p", "device", "gpu"], "device = 'gpu'"),
        (["run", ".", "--labels", "labels.csv"], "labels = 'labels.csv': no such file"),
        (["run", ".", "--shards", "0"], "num_shards = 0"),
        (["plan"], "DOCUMENTS: missing; accepted is a folder, or --files"),
        (["plan", "docs"], "documents = 'docs': no such folder"),
        (["plan", ".", "--files", "3"], "DOCUMENTS and --files: give one of them"),
        (["plan", "--files", "3"], "--files together with --seconds-per-file"),
        (["plan", "--files", "3", "--seconds-per-file", "nan"], "seconds_per_file = nan"),
        (["plan", "--files", "3", "--seconds-per-file", "1", "--deadline", "90"], "90m, 2h, 1h30m or 45s"),
        (["plan", "--files", "3", "--seconds-per-file", "1", "--vm-price", "-1"], "vm_price = -1.0"),
        (["plan", "--files", "3", "--seconds-per-file", "1", "--run", "r"], "nothing is kept"),
        (["plan", ".", "--run", "../run", "--sample", "1"], "the folder holds no documents"),
        (["plan", ".", "--run", "../run", "-p", "shard", "1"], "-p shard: is said otherwise here"),
        (["status", "runs/none"], "no run folder"),
        (["retry", "runs/none"], "no run folder"),
        (["verify", "runs/none"], "no run folder"),
        (["report", "runs/none"], "run"),
        (["predict", "runs/none", "."], "no run folder"),
        (["run", ".", "--run", "/dev/null"], "run = '/dev/null': a file, not a folder"),
    ],
)
def test_a_wrong_request_exits_2_and_writes_nothing(
    words: list[str], said: str, command: Command, tmp_path: Path
) -> None:
    done = command(*words, *(["--run", "../run"] if words[0] == "run" and "--run" not in words else []))
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_plan_answers_without_a_folder_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    done = command("plan", "--files", "10000", "--seconds-per-file", "2")
    assert (done.exit_code, done.stderr, list(tmp_path.iterdir())) == (0, "", [])
    assert "3 machines do it in 2 hours" in done.stdout


def test_plan_parses_a_sample_and_keeps_the_forecast_in_the_run(command: Command, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    for index in range(30):
        (tmp_path / "documents" / f"{index}.txt").write_text("word " * 9)
    done = command("plan", "documents", "--sample", "8", "--vm-price", "0.2", "--cores", "3", "--deadline", "1h30m")
    assert (done.exit_code, done.stderr) == (0, "kept in runs/documents/forecast.json\n")
    assert "Machines with 3 cores at $0.20 an hour" in done.stdout
    (written,) = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    facts = json.loads(written.read_bytes())
    assert (facts["documents"], facts["sampled"], facts["terms"]["deadline"]) == (30, 8, 5400)
    assert str(tmp_path) not in written.read_text()


def test_edited_labels_are_learnt_anew(finished: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    rows = (tmp_path / "labels.csv").read_text().replace("cooking\n", "food\n")
    (tmp_path / "labels.csv").write_text(rows)
    done = command("run", "documents", "--labels", "labels.csv")
    assert (done.exit_code, done.stderr.count("was done already")) == (0, 1), done.stderr
    known = json.loads((tmp_path / "runs" / "documents" / "model" / "labels.json").read_text())
    assert known == ["astronomy", "food", "sailing"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--status", "timeouts"], "retry = 'timeouts': no such status; did you mean 'timeout'"),
        (["--timeout", "soon"], "timeout = 'soon': accepted is seconds"),
        (["--memory", "lots"], "memory = 'lots'"),
        (["-p", "num_shards", "3"], "-p num_shards: is said otherwise here"),
        (["-p", "epochs", "3"], "-p epochs: no parameter of preprocess"),
        (["--timeout", "3", "-p", "timeout", "4"], "-p timeout: is said twice"),
        (["--status", " ,"], "--status ' ,': names no status"),
        (["-p", "documents", "elsewhere"], "documents = 'elsewhere': no such folder"),
    ],
)
def test_a_wrong_retry_exits_2_before_any_work(words: list[str], said: str, finished: Path, command: Command) -> None:
    done = command("retry", finished / "runs" / "documents", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_retry_parses_again_and_names_what_is_missing(finished: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "runs" / "documents"
    (broken,) = [path for path in run.glob("shards/*") if "broken.pdf" in ledger(path)]
    (other,) = set(run.glob("shards/*")) - {broken}
    shutil.rmtree(other)
    done = command("retry", run, "--status", "unreadable,crashed", "-p", "max_pages", "7")
    assert done.exit_code == 0, done.stderr
    assert f"Slurm: sbatch --array={int(other.name[:5])} " in done.stdout
    assert "leave out those that a scheduler still holds" in done.stderr
    assert "made from the shards as they were before: train; nbpipe run makes them again" in done.stderr
    (row,) = [row for row in read_table(broken / "ledger.parquet", LEDGER).to_pylist() if row["earlier"]]
    assert (row["path"], row["earlier"][0]["status"]) == ("cooking/broken.pdf", "unreadable")
    assert trusted(broken).facts["config"]["max_pages"] == 7
    assert notebook_findings(run / "audit" / f"preprocess-{broken.name}.ipynb", trusted(broken)) == []


def test_retry_refuses_a_damaged_shard(finished: Path, run_copy: Path, command: Command) -> None:
    next(run_copy.glob("shards/*/part-*.parquet")).unlink()
    done = command("retry", run_copy, "--status", "unreadable", "-p", "documents", finished / "documents")
    assert (done.exit_code, "is missing" in done.stderr) == (1, True)


def test_grow_takes_in_what_was_added(finished: Path, run_copy: Path, command: Command, tmp_path: Path) -> None:
    shutil.copytree(finished / "documents", tmp_path / "more")
    (tmp_path / "more" / "cooking" / "new.txt").write_text("soup")
    (tmp_path / "more" / "cooking" / "broken.pdf").unlink()
    done = command("grow", run_copy, "--documents", tmp_path / "more")
    assert done.exit_code == 0, done.stderr
    assert "The plan has 61 documents now: 1 added, 1 removed." in done.stdout
    assert "Shards: 2 waiting." in command("status", run_copy).stdout
    assert command("grow", run_copy, "--documents", tmp_path / "more").stdout.startswith(
        "The folder holds the documents"
    )


def ledger(shard: Path) -> str:
    return " ".join(read_table(shard / "ledger.parquet", LEDGER)["path"].to_pylist())


def test_a_wrong_label_file_stops_before_any_work(finished: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "labels.csv").write_text("path,lable\na,b\n")
    done = command("run", finished / "documents", "--run", "run", "--labels", "labels.csv")
    assert done.exit_code == 2
    assert "no column 'label'" in done.stderr
    assert not (tmp_path / "run" / "shards").exists()
