"""Tables escape whatever they show."""

import re
from urllib.parse import unquote_to_bytes

import pytest

from nbpipe.shown import Link, Sentence, Table


def test_every_cell_is_escaped() -> None:
    attack = "</td></table><script>alert(1)</script>"
    shown = Table([attack], [[attack], [f'" onload="{attack}']], attack)._repr_html_()
    assert "<script" not in shown
    assert shown.count("</table>") == 1
    assert shown.count("&lt;script&gt;") == 4


def test_a_sentence_is_escaped() -> None:
    assert "<i>" not in Sentence("<i>")._repr_html_()


def test_numbers_are_written_as_people_write_them() -> None:
    shown = repr(Table(["a", "b", "c", "d"], [[12345, 0.12345, True, None]]))
    assert shown.splitlines()[1].split() == ["12,345", "0.123", "yes"]


def test_plain_text_keeps_a_row_on_its_line() -> None:
    assert repr(Table(["a"], [["one\ntwo"]])).splitlines() == ["a", "one two"]


def test_characters_that_turn_or_end_text_are_marked() -> None:
    for shown in (Table(["a"], [["x\u202efdp.exe\x1b[2J"]])._repr_html_(), repr(Table(["a"], [["x\u202e\x1b"]]))):
        assert "\ufffd" in shown
        assert not {"\u202e", "\x1b"} & set(shown)


HOSTILE = [
    "javascript:alert(1)",
    '"><script>alert(1)</script>',
    "../x y%#?",
    "' onclick='x",
    "//evil/x",
    "data:x",
    "a&b",
]


def place_of(shown: str) -> str:
    """Return where the only link of some HTML leads, after checking that it is whole."""
    (place,) = re.findall(r'<a href="([^"<>]*)">[^<>]*</a>', shown)
    return place


@pytest.mark.parametrize("place", HOSTILE)
def test_a_link_leads_to_a_file_and_nowhere_else(place: str) -> None:
    shown = Link(place, place)._repr_html_()
    found = place_of(shown)
    assert re.fullmatch(r"\./[A-Za-z0-9._~/%-]*", found)
    assert unquote_to_bytes(found).decode() == f"./{place}"
    assert not {"<script", "'"} & set(re.findall(r"<script|'", shown))


def test_a_link_keeps_the_steps_of_its_way() -> None:
    assert place_of(Link("x y", "../papers/x y.pdf")._repr_html_()) == "./../papers/x%20y.pdf"


def test_a_link_to_a_name_that_is_no_text_keeps_its_bytes() -> None:
    found = place_of(Link("caf\udce9", "caf\udce9.pdf")._repr_html_().encode("utf-8", "replace").decode())
    assert unquote_to_bytes(found) == b"./caf\xe9.pdf"


def test_the_text_of_a_link_is_escaped_and_made_visible() -> None:
    shown = Link("<b>\u202ex</b>", "x")._repr_html_()
    assert "&lt;b&gt;\ufffdx&lt;/b&gt;" in shown


def test_a_table_holds_a_link_as_link_and_in_plain_text_as_its_text() -> None:
    table = Table(["path"], [[Link("a/<1>.pdf", "../a/<1>.pdf")], ["a/<1>.pdf"]])
    assert table._repr_html_().count("<a href=") == 1
    assert table._repr_html_().count("a/&lt;1&gt;.pdf") == 2
    assert repr(table).splitlines() == ["path", "a/<1>.pdf", "a/<1>.pdf"]
