"""The report as a colleague gets it: offline, complete or saying what is missing, and harmless in a real browser."""

import base64
import io
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from lxml import html as lxml_html
from nbformat.v4 import new_markdown_cell, new_output
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nbpipe.errors import RequestError, WorkError
from nbpipe.report import clean, private
from nbpipe.report.site import build
from nbpipe.run import Run, write

ATTACK = (
    "\"'></td></table></style><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)


PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")


def text_of(path: Path) -> str:
    """Return a page's words on one line."""
    return " ".join(" ".join(lxml_html.parse(path).getroot().body.itertext()).split())


@pytest.fixture
def attacked(maker) -> Run:
    """A run in which every string that a stranger may choose is an attack."""
    name = ATTACK.replace("/", "|")
    maker.preprocess({f"{name}/1.pdf": ("ok", ""), f"{name}/2.pdf": ("unreadable", ATTACK), "3": ("empty", "")})
    maker.train(baselines={ATTACK: {"accuracy": 0.5, "macro_f1": 0.5}})
    shown, code = maker.shown, maker.code
    maker.explain(
        new_markdown_cell(f"# {ATTACK}\n\n[x](javascript:document.title=1) ![x](https://evil.example/x.png)"),
        code(f"name = {ATTACK!r}", tags=["parameters"]),
        code(ATTACK, shown(text_html=ATTACK), shown(text_markdown=ATTACK), shown(text_plain=ATTACK)),
        code("2", shown(image_png=ATTACK), shown(**{"image_svg+xml": ATTACK}), shown(application_javascript=ATTACK)),
        code("3", new_output("stream", text=ATTACK), shown(image_png=b"\x89PNG\r\n\x1a\n", text_plain=ATTACK)),
        code("4", shown(text_html="<style>body{display:none}</style><svg onload=\"document.title='owned'\">")),
    )
    return maker.run


def test_no_page_holds_a_script_a_handler_or_a_way_out(attacked: Run) -> None:
    pages = sorted(build(attacked).parent.glob("*"))
    assert [page.name for page in pages] == [
        "explain.html",
        "index.html",
        "preprocess-00000-of-00001.html",
        "train.html",
    ]
    for page in pages:
        for element in lxml_html.parse(page).getroot().iter():
            assert element.tag != "link" or element.attrib == {"rel": "icon", "href": "data:,"}
            assert element.tag not in ("script", "iframe", "svg", "base", "form", "object", "embed")
            assert not [name for name in element.attrib if name.startswith("on")]
            assert element.tag != "img" or element.get("src").startswith("data:image/png;base64,")
            assert element.tag != "a" or re.fullmatch(r"[\w-]+\.html|#shards", element.get("href"))


def test_attacks_are_shown_as_text(attacked: Run) -> None:
    index = build(attacked)
    assert ATTACK.replace("/", "|") + "/2.pdf" in text_of(index)
    assert ATTACK in text_of(index.with_name("explain.html"))


def test_the_index_tells_verdicts_counts_scores_and_failures(whole) -> None:
    index = build(whole())
    words = text_of(index)
    assert "Yes: 3 documents were read." in words
    assert "No: the baseline is as good." in words
    assert "locked with a password (encrypted) 1 33.3%" in words
    assert "Score on 40 documents it never saw" in words
    ranked = (
        "LinearSVC on TF-IDF 0.910 0.900 this model 0.900 0.850 to 0.950 0.880 always the commonest label 0.250 0.100"
    )
    assert f"{ranked} this model before training 0.200" in words
    assert "b/3.pdf has a password" in words
    assert "computed again for this report, and agree" in words


def test_the_index_tells_what_ran_and_what_was_set_otherwise(whole) -> None:
    run = whole()
    words = text_of(build(run))
    assert "train (bag)" in words
    assert "cpu" in words
    assert "set otherwise than by default" in words
    assert "epochs 7" in words


def test_the_model_card_is_a_page_of_its_own(maker) -> None:
    maker.preprocess({"a/1.pdf": ("ok", "")})
    card = "---\ntags: [x]\n---\n\n# Card\n\n| label |\n|---|\n| <b>a</b> |\n"
    write(maker.run.model / "README.md", card.encode())
    maker.train()
    index = build(maker.run)
    page = lxml_html.parse(index.with_name("model.html")).getroot()
    assert [cell.text_content() for cell in page.iter("td")] == ["<b>a</b>"]
    assert page.xpath("//details//pre")[0].text_content() == "tags: [x]"
    assert "model.html" in lxml_html.parse(index).xpath("//a/@href")


def test_headings_are_in_order_and_every_picture_is_told_in_words(whole, maker) -> None:
    run = whole(
        maker.code("1", maker.shown(text_html="<h1>a</h1><h6>b</h6>"), maker.shown(image_png=PNG, text_plain=""))
    )
    for page in build(run).parent.glob("*.html"):
        levels = [int(tag.tag[1]) for tag in lxml_html.parse(page).getroot().iter("h1", "h2", "h3", "h4", "h5", "h6")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert all(image.get("alt") for image in lxml_html.parse(page).getroot().iter("img"))


def test_nothing_shared_tells_of_the_machine_or_its_user(maker, whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "machine", lambda: {"tower-7"})
    monkeypatch.setattr(clean, "machine", lambda: {"tower-7"})
    home = "/home/alicia/papers"
    told = PngInfo()
    told.add_text("Author", f"alicia at {home} on tower-7")
    picture = io.BytesIO()
    Image.new("L", (1, 1)).save(picture, "PNG", pnginfo=told)
    leak = f"{home}/a.pdf: alicia on tower-7, file://{home}/b, ~alicia/c, '{home}/d e', {home}"
    error = new_output(
        "error", ename="OSError", evalue=leak, traceback=[f'File "{home}/x.py", line 1, in alicia', leak]
    )
    cells = (
        maker.code(f"# Parameters\ndocuments = {home!r}\nrun = '/home/alicia'", tags=["injected-parameters"]),
        maker.code(f"open({home!r})  # alicia", maker.shown(text_plain=leak), new_output("stream", text=leak), error),
        maker.code("1", maker.shown(text_html=f"<p title='{home}/a'>{home}/a and <b>{home}</b></p>")),
        maker.code("2", maker.shown(image_png=picture.getvalue(), text_plain=leak)),
        new_markdown_cell(f"in `{home}/a` and {home}"),
    )
    cells[1].metadata["papermill"] = {"exception": leak}
    run = whole(*cells)
    maker.save(run.audit / "train.failed.ipynb", *cells)
    (run.audit / "train.ipynb").unlink()
    for path in build(run).parent.rglob("*"):
        data = path.read_bytes()
        data += b"".join(base64.b64decode(found) for found in re.findall(rb"base64,([\w+/=]+)", data))
        assert [word for word in (b"alicia", b"tower-7", b"/home/") if word in data.lower()] == [], path.name


def test_several_shards_share_a_card_and_have_a_row_each(maker) -> None:
    maker.preprocess({f"a/{index}.pdf": ("ok", "") for index in range(6)}, num_shards=3)
    words = text_of(build(maker.run))
    assert "6 of 6 documents became text; 3 of 3 shards: yes." in words
    assert words.count("Yes: 2 documents were read.") == 3


def test_a_missing_stage_is_said_and_the_rest_is_shown(maker) -> None:
    maker.preprocess({"a/1.pdf": ("ok", "")})
    words = text_of(build(maker.run))
    assert "Yes: 1 documents were read." in words
    assert "train: has no receipt" in words
    assert words.count("not done") == 2


def test_a_failed_notebook_is_shown_with_what_stopped_it(maker) -> None:
    maker.preprocess({"a/1.pdf": ("ok", "")})
    error = new_output("error", ename="WorkError", evalue="fewer than two labels", traceback=[])
    maker.save(maker.run.audit / "train.failed.ipynb", maker.code("x", error))
    index = build(maker.run)
    assert "Stopped: WorkError: fewer than two labels" in text_of(index)
    assert "WorkError: fewer than two labels" in text_of(index.with_name("train.html"))


def test_a_verdict_whose_files_changed_since_is_unproven_and_gives_no_figures(whole) -> None:
    run = whole()
    (run.model / "metrics.json").write_text('{"test": {"accuracy": 1}}')
    words = text_of(build(run))
    assert "train: metrics.json does not match its digest" in words
    assert "2. train unproven" in words
    assert "this model" not in words


def test_a_shard_without_its_notebook_still_counts(maker) -> None:
    maker.preprocess({f"a/{index}.pdf": ("ok", "") for index in range(4)}, num_shards=2)
    (maker.run.audit / "preprocess-00001-of-00002.ipynb").unlink()
    words = text_of(build(maker.run))
    assert "4 of 4 documents became text; 1 of 2 shards: yes and 1 of 2 shards: unproven." in words
    assert "No answer: its executed notebook is missing." in words


@pytest.mark.parametrize("name", ["audit/train.ipynb", "audit/explain.ipynb", "model/receipt.json"])
@pytest.mark.parametrize("data", [b"", b"{}", b'{"stage": "train", "files": {}}'])
def test_a_damaged_file_is_named_in_the_report(whole, name: str, data: bytes) -> None:
    run = whole()
    (run.folder / name).write_bytes(data)
    words = text_of(build(run))
    assert "unproven" in words or "not done" in words
    assert name.removeprefix("model/") in words or "train: " in words


def test_a_new_report_replaces_the_old_one_and_leaves_no_draft(whole) -> None:
    run = whole()
    build(run)
    (run.report / "old.html").write_text("old")
    (run.audit / "explain.ipynb").unlink()
    build(run)
    assert sorted(path.name for path in run.report.iterdir()) == [
        "index.html",
        "preprocess-00000-of-00001.html",
        "train.html",
    ]
    assert not list(run.folder.glob(".tmp-*"))


def test_a_run_without_notebooks_says_what_to_do(whole) -> None:
    run = whole()
    shutil.rmtree(run.audit)
    with pytest.raises(WorkError, match=r"demo/audit: holds no executed notebook.*`nbpipe run`"):
        build(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no run folder"):
        build(Run(tmp_path))


@pytest.mark.parametrize("library", ["nh3", "jinja2", "markdown_it"])
def test_without_its_libraries_the_report_names_the_extra(library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import nbpipe.report.site"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert f"RequestError: {library}: not installed" in done.stderr.replace("nbpipe.errors.", "")
    assert "pip install 'nbpipe[explain]'" in done.stderr
