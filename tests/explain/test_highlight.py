"""Words are shown where they stand, and nothing in a document can act."""

import re

import numpy as np
import polars as pl
import pytest

from nbpipe.explain.attribute import Occurrences
from nbpipe.explain.highlight import Excerpt, Highlight, Word, excerpts, visible, words_of
from nbpipe.train.text import spans

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "</p></div><style>*{display:none}</style>",
    "&lt;b&gt; &#60;script&#62;",
    "]]><!-- -->",
]


def show(
    pages: list[str], values: dict[str, float], top: int = 10, title: str = "a.txt", bigrams: bool = False
) -> Highlight:
    vocabulary = ["", *values]
    places = [
        (number, start, end, vocabulary.index(word), values[word])
        for number, page in enumerate(pages)
        for start, end, word in spans(page, bigrams)
        if word in values
    ]
    columns = zip(*places, strict=True) if places else [()] * 5
    arrays = [np.array(column, kind) for column, kind in zip(columns, ("i4", "i4", "i4", "i8", "f4"), strict=True)]
    found = Occurrences(*arrays)
    words = words_of(found, pl.Series(vocabulary, dtype=pl.String))
    strongest = list(words.values())[:top]
    return Highlight(title, f"Predicted {title}.", title, strongest, len(words), excerpts(pages, found, words, top))


def tags(html: str) -> set[str]:
    return set(re.findall(r"<\s*/?\s*([a-zA-Z!][\w-]*)", html))


def test_words_for_are_bold_on_blue_and_words_against_underlined_on_orange() -> None:
    html = show(["The oven and the mast."], {"oven": 0.5, "mast": -0.25})._repr_html_()
    assert re.search(r'<b style="background-color:rgba\(0,114,178,0.70\)" title="oven: \+0.500">oven</b>', html)
    assert re.search(r'<u style="background-color:rgba\(213,94,0,0.4[23]\)" title="mast: -0.250">mast</u>', html)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_is_only_shown(attack: str) -> None:
    shown = show([f"{attack} oven {attack}"], {"oven": 0.5, "script": 0.3, "alert": 0.2, "style": -0.2}, title=attack)
    html = shown._repr_html_()
    assert tags(html) <= {"div", "p", "b", "u", "br"}
    attributes = filter(None, re.findall(r"<\w+([^>]*)>", html))
    assert all(re.fullmatch(r' style="[^"<>]*"( title="[^"<>]*")?', found) for found in attributes)


@pytest.mark.parametrize("attack", ATTACKS)
def test_even_a_hostile_word_is_only_shown(attack: str) -> None:
    word = Word(attack, 0.5, 1, 0, 0, len(attack))
    html = Highlight(attack, attack, attack, [word], 1, [Excerpt(0, [(attack, word)])])._repr_html_()
    assert tags(html) <= {"div", "p", "b", "u", "br"}
    assert attack not in html


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x9b", "\u202e", "\u202a", "\u2066", "\u2069"])
def test_characters_that_turn_or_hide_text_become_visible(character: str) -> None:
    shown = show([f"an oven{character}[31m text"], {"oven": 0.5}, title=f"x{character}fdp.exe")
    for text in (shown._repr_html_(), repr(shown)):
        assert character not in text
        assert "x\ufffdfdp.exe" in text
        assert "\ufffd[31m" in text


def test_white_space_becomes_one_space() -> None:
    assert visible("a\n\n\tb\u2028c") == "a b c"


def test_only_the_surroundings_of_the_strongest_words_are_shown() -> None:
    filler = " ".join(f"filler{number}" for number in range(2000))
    shown = show(
        [filler, f"{filler} oven {filler}", f"mast {filler}"], {"oven": 0.5, "mast": -0.4, "filler3": 0.01}, top=2
    )
    assert [excerpt.page for excerpt in shown.excerpts] == [1, 2]
    assert len(shown._repr_html_()) < 2000
    assert "page 2: …" in repr(shown)
    assert "Strongest 2 of 3 different words: oven +0.500, mast -0.400." in repr(shown)


def test_near_words_share_one_excerpt_whose_text_is_unbroken() -> None:
    page = "Put it in the Oven, then climb the mast and see."
    shown = show([page], {"oven": 0.5, "mast": 0.4})
    assert len(shown.excerpts) == 1
    assert "".join(text for text, _ in shown.excerpts[0].pieces) == page


def test_a_word_counts_with_all_its_places() -> None:
    shown = show(["oven oven oven", "mast oven"], {"oven": 0.25, "mast": 0.5})
    assert [(word.text, word.attribution, word.times) for word in shown.words] == [("oven", 1.0, 4), ("mast", 0.5, 1)]
    assert "in 4 places" in shown._repr_html_()


def test_weak_words_stay_plain() -> None:
    shown = show(["the oven and the mast"], {"oven": 0.5, "mast": 0.01})
    assert [text for text, word in shown.excerpts[0].pieces if word] == ["oven"]


def test_excerpts_do_not_cut_words_without_need() -> None:
    page = f"{'abcdefg ' * 20}oven{' abcdefg' * 20}"
    (excerpt,) = show([page], {"oven": 0.5}).excerpts
    assert set("".join(text for text, _ in excerpt.pieces).split()) == {"abcdefg", "oven"}


def test_a_word_longer_than_its_surroundings_is_shown_whole() -> None:
    word = "x" * 500
    (excerpt,) = show([f"{'y' * 300} {word} {'z' * 300}"], {word: 0.5}).excerpts
    assert word in [text for text, found in excerpt.pieces if found]


def test_text_without_spaces_is_cut_all_the_same() -> None:
    shown = show(["。".join(["数据", "结构"] * 500)], {"结构": 0.5})
    assert len(shown.excerpts[0].pieces[0][0]) < 100
    assert len(repr(shown)) < 3000


def test_a_document_without_known_words_says_so() -> None:
    shown = show([""], {})
    assert "Strongest 0 of 0 different words: none." in repr(shown)
    assert "none" in shown._repr_html_()


def test_where_a_pair_and_its_words_overlap_the_strongest_is_coloured_and_no_text_twice() -> None:
    page = "the wind sail harbour"
    pair = show([page], {"wind": 0.4, "sail": 0.3, "wind sail": 0.5}, bigrams=True)
    word = show([page], {"wind": 0.5, "sail": 0.3, "wind sail": 0.4}, bigrams=True)
    for shown, coloured in ((pair, ["wind sail"]), (word, ["wind", "sail"])):
        (excerpt,) = shown.excerpts
        assert "".join(text for text, _ in excerpt.pieces) == page
        assert [text for text, word in excerpt.pieces if word] == coloured
