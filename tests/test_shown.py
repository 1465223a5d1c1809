"""Tables escape whatever they show."""

from nbpipe.shown import Sentence, Table


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
