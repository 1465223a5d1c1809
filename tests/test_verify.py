"""Whatever is changed in a finished run or its documents is found, and what was not changed is not."""

import json
from pathlib import Path

import pytest
from tampering import KINDS, edit, flip, hit, tampered, unnoticed

from nbpipe.cost import Terms
from nbpipe.errors import RequestError
from nbpipe.preprocess.forecast import given, keep
from nbpipe.run import Run
from nbpipe.verify import prove, verify


@pytest.mark.parametrize("kind", KINDS)
def test_tampering_is_found(kind: str, finished: Path) -> None:
    lines = tampered(finished / "runs" / "documents", finished / "documents", kind)
    assert hit(kind, lines), lines


def test_a_bit_of_any_file_is_found(run_copy: Path) -> None:
    keep(given(9, 0.5, Terms()), Run(run_copy))
    assert unnoticed(run_copy) == []


def test_an_untouched_run_is_proven_with_its_documents(finished: Path) -> None:
    proof = prove(Run(finished / "runs" / "documents"))
    assert (proof.findings, proof.remarks, len(proof.digest)) == ([], [], 64)


def test_the_digest_of_a_run_is_its_own_wherever_it_lies_and_another_after_any_change(
    finished: Path, run_copy: Path
) -> None:
    documents = finished / "documents"
    before = prove(Run(finished / "runs" / "documents")).digest
    assert prove(Run(run_copy), documents).digest == before
    keep(given(9, 0.5, Terms()), Run(run_copy))
    assert prove(Run(run_copy), documents).digest == before
    edit(run_copy / "audit" / "train.ipynb", lambda book: book["metadata"].update(note="seen"))
    assert prove(Run(run_copy), documents).digest == ""


def test_a_folder_in_any_receipts_place_leaves_the_other_findings(run_copy: Path) -> None:
    for name in ("model/receipt.json", "ro-crate-metadata.json"):
        (run_copy / name).unlink()
        (run_copy / name).mkdir()
    (run_copy / "forecast.json").mkdir()
    (run_copy / "audit" / "explain.ipynb").unlink()
    findings = " ".join(prove(Run(run_copy)).findings)
    assert all(name in findings for name in ("model/receipt.json", "forecast.json", "audit/explain.ipynb"))


def test_no_remark_stands_beside_a_finding_on_the_same_notebook(finished: Path, run_copy: Path) -> None:
    for path in (run_copy / "audit" / "seals").glob("train-*"):
        path.unlink()
    proof = prove(Run(run_copy), finished / "documents")
    assert (len(proof.findings), proof.remarks) == (1, [])


def test_documents_that_are_elsewhere_are_a_remark_and_can_be_named(finished: Path, run_copy: Path) -> None:
    (run_copy / ".documents").unlink()
    proof = prove(Run(run_copy))
    assert proof.findings == []
    assert proof.remarks == [
        "documents: not on this machine, so not compared; nbpipe verify RUN --documents FOLDER does"
    ]
    assert prove(Run(run_copy), finished / "documents").remarks == []
    with pytest.raises(RequestError, match="--documents 'nowhere': no such folder"):
        prove(Run(run_copy), Path.cwd() / "nowhere")


def test_a_finding_is_one_line_that_names_a_file_or_stage_and_says_what_to_do(run_copy: Path) -> None:
    flip(run_copy / "model" / "metrics.json")
    edit(run_copy / "audit" / "explain.ipynb", lambda book: book["cells"][0].update(source="# Other"))
    assert verify(Run(run_copy)) == [
        "train: metrics.json does not match its digest; restore it, or run train again",
        "audit/explain.ipynb: cell 1 was changed after its run; restore it, or run explain again",
    ]


def test_a_receipt_tells_enough_to_make_it_again(run_copy: Path) -> None:
    for folder in [*(run_copy / "shards").iterdir(), run_copy / "model", run_copy / "explain"]:
        facts = json.loads((folder / "receipt.json").read_bytes())
        assert facts["config"].keys() >= {"run"}
        wanted = {"nbpipe", "commit", "code", "python", "platform", "packages", "device", "seed", "started", "finished"}
        assert facts["stamp"].keys() == wanted
        assert facts["stamp"]["packages"].keys() >= {"pyarrow", "pypdfium2", "torch", "numpy"}
