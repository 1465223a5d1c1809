"""Pages are set here from the widths of their gaps, in line heights, so that each test holds one kind of spacing."""

from array import array
from collections.abc import Callable

import pytest

from nbpipe.preprocess.spacing import Glyphs, Spacing

SENTENCE = "the staff of a firm plans sales and the care of all its guests in good time as best it can so"
WORDS = SENTENCE.split()
HEIGHT = 10.0


def setting(line: str, gap: Callable[[str], float], space: float, height: float = HEIGHT) -> Glyphs:
    """Set a line without its spaces: `gap` before each character by the one before it, `space` on top between words.

    A line end in `line` stands for a space that was drawn.
    """
    units, boxes, at = [], array("f"), 0.0
    for before, char in zip(" " + line, line, strict=False):
        if char == " ":
            at += space * height
            continue
        if char == "\n":
            at += space * height
            units.append(ord(" "))
            boxes.extend((0.0, 0.0, 0.0, 0.0))
            continue
        at += gap(before) * height
        units.append(ord(char))
        boxes.extend((at, height, at + 0.5 * height, 0.0))
        at += 0.5 * height
    return Glyphs.of(units, boxes)


def touching(before: str) -> float:
    return 0.0


def judged(page: Glyphs) -> Spacing:
    spacing = Spacing()
    spacing.learn(page)
    spacing.settle()
    return spacing


def read(page: Glyphs) -> str:
    """Return a page's text with the missing spaces put back."""
    missing = set(judged(page).missing(page))
    return "".join(" " * (index in missing) + chr(unit) for index, unit in enumerate(page.units))


def test_glued_words_are_parted() -> None:
    page = setting(" ".join(WORDS * 10), touching, 0.2)
    assert judged(page).glued
    assert read(page) == " ".join(WORDS * 10)


def test_a_character_that_hangs_over_keeps_its_space() -> None:
    """The box of an f reaches into the next letter's, so that f and a space leave hardly a gap."""
    page = setting(" ".join(WORDS * 10), lambda before: -0.15 if before == "f" else -0.05, 0.2)
    assert read(page) == " ".join(WORDS * 10)


def test_a_character_that_keeps_away_gets_no_space() -> None:
    page = setting("-".join(WORDS * 5), lambda before: 0.1 if before == "-" else 0.0, 0.2)
    assert not judged(page).glued
    assert judged(page).missing(page) == []


def test_kerning_is_no_glue() -> None:
    page = setting("".join(WORDS * 10), lambda before: 0.06 if before in "rvwy" else 0.0, 0.2)
    assert not judged(page).glued


def test_letters_that_touch_have_no_space_between_them() -> None:
    """Letters commonly overlap here; where some only touch, that excess is no space."""
    page = setting("".join(WORDS * 10), lambda before: -0.2, 0.2)
    for index in range(0, len(page.units), 7):
        page.right[index] -= 0.2 * HEIGHT
    assert not judged(page).glued


def test_a_few_missing_among_many_found_spaces_are_no_glue() -> None:
    page = setting("\n".join([*WORDS * 12, "an", "end of it all as it can be so to us at no time"]), touching, 0.2)
    assert judged(page).missing(page)
    assert not judged(page).glued


def test_a_spaced_out_line_is_no_glue() -> None:
    page = setting("".join(WORDS * 10), lambda before: 0.3, 0.2)
    assert not judged(page).glued


def test_dot_leaders_are_no_glue() -> None:
    page = setting("".join(WORDS * 3) + "." * 80, lambda before: 0.5 if before == "." else 0.0, 0.2)
    assert not judged(page).glued


def test_a_few_wide_gaps_are_too_little_evidence() -> None:
    page = setting("".join(WORDS * 5) + " " + " ".join("ITEM"), touching, 0.2)
    assert not judged(page).glued


def test_a_jump_is_no_missing_space() -> None:
    page = setting(" ".join(WORDS * 10), touching, 3.0)
    assert not judged(page).glued


@pytest.mark.parametrize("letters", ["漢字仮名文章", "กขคงจฉ"])
def test_scripts_without_spaces_are_left_alone(letters: str) -> None:
    page = setting(" ".join([letters] * 60), touching, 0.2)
    assert not judged(page).glued


def test_words_from_right_to_left_are_parted() -> None:
    page = setting(" ".join(["שלום", "עולם", "טוב"] * 20), touching, 0.2)
    mirrored = page._replace(left=[-right for right in page.right], right=[-left for left in page.left])
    assert read(mirrored) == " ".join(["שלום", "עולם", "טוב"] * 20)


def with_accents(line: str) -> Glyphs:
    """Set a line in which the box of each Â is higher than the others, as an accent makes it."""
    page = setting(line, touching, 0.2)
    return page._replace(top=[1.2 * HEIGHT if unit == ord("Â") else HEIGHT for unit in page.units])


def test_a_shape_of_its_own_height_that_always_ends_words_keeps_its_spaces() -> None:
    line = " ".join(f"{word}Â" for word in WORDS * 10)
    assert read(with_accents(line)) == line


def test_a_shape_first_seen_on_a_later_page_keeps_its_spaces() -> None:
    spacing = judged(setting(" ".join(WORDS * 10), touching, 0.2))
    line = " ".join(f"{word}Â" for word in WORDS * 2)
    assert len(spacing.missing(with_accents(line))) == len(WORDS) * 2 - 1


def test_a_new_size_on_a_later_page_is_learnt_there() -> None:
    spacing = judged(setting(" ".join(WORDS * 10), touching, 0.2))
    tracked = setting("".join(WORDS * 3), lambda before: 0.3, 0.0, height=17.0)
    assert spacing.missing(tracked) == []


def test_pages_are_gathered_until_the_evidence_suffices() -> None:
    spacing = Spacing()
    page = setting(" ".join(WORDS * 10), touching, 0.2)
    spacing.learn(page)
    assert not spacing.settled
    for _ in range(5):
        spacing.learn(page)
    assert spacing.settled
    assert spacing.glued


def test_an_empty_document_is_not_glued() -> None:
    spacing = judged(Glyphs.of([], array("f")))
    assert not spacing.glued
