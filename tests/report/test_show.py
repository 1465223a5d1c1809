"""Pictures draw whatever they are given, stay small, and say in words what they show."""

import io

import numpy as np
import pytest
from PIL import Image

from nbpipe.report.show import Picture, confusion, coverage, curve, deletion, growth, reliability, scores, short, words

STRANGE = ["$\\frac{$", "机器学习", "العربية", "a\nb\x00", "", "x" * 300, "𒀀𓀀", "\ufdd0", "<b>"]


def opened(picture: Picture) -> Image.Image:
    """Return the picture as a notebook gets it, decoded."""
    data, _ = picture._repr_png_()
    return Image.open(io.BytesIO(data))


def colours(picture: Picture) -> set[tuple[int, ...]]:
    """Return the colours that occur in a picture."""
    with opened(picture) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}


def has(picture: Picture, colour: str) -> bool:
    """Return whether a colour, or one that looks the same, occurs."""
    wanted = tuple(bytes.fromhex(colour[1:]))
    return any(max(abs(a - b) for a, b in zip(wanted, found, strict=True)) < 6 for found in colours(picture))


NONE = np.zeros(0)
BINS = (np.array([0.5, 0.75]), np.array([0.5, 0.5]), np.array([10, 30]))
PICTURES = {
    "confusion": lambda names: confusion(np.eye(len(names), dtype=int) * 9, names),
    "curve": lambda names: curve([3.0, 2.0, 1.0], [0.2, 0.5, 0.6], dict.fromkeys(names[:3], 0.4)),
    "words": lambda names: words({name: [(word, 0.1) for word in names] for name in names}),
    "deletion": lambda names: deletion(dict.fromkeys(names, (0.3, 0.2, 0.4)), "drop"),
    "scores": lambda names: scores(dict.fromkeys(names, (0.3, 0.2, 0.4)), "accuracy"),
    "reliability": lambda _: reliability(BINS, BINS),
    "coverage": lambda _: coverage(np.linspace(0.1, 1, 50), np.linspace(1, 0.8, 50), (0.4, 0.95), 0.95),
    "growth": lambda _: growth([10, 20, 40], [(0.3, 0.2, 0.4)] * 3),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_strange_names_are_drawn_without_a_warning(kind: str) -> None:
    picture = PICTURES[kind](STRANGE)
    assert opened(picture).width == 2 * picture._repr_png_()[1]["width"]


@pytest.mark.parametrize(
    "picture",
    [
        lambda: confusion(np.zeros((1, 1), int), ["a"]),
        lambda: curve([], [], {}),
        lambda: words({}),
        lambda: words({"a": []}),
        lambda: deletion({}, "drop"),
        lambda: scores({}, "accuracy"),
        lambda: reliability((NONE, NONE, NONE), (NONE, NONE, NONE)),
        lambda: coverage(NONE, NONE, (0.0, None), 0.95),
        lambda: coverage(np.ones(1), np.ones(1), (1.0, 1.0), 1.0),
        lambda: growth([], []),
    ],
)
def test_nothing_to_draw_is_drawn_as_nothing(picture) -> None:
    assert opened(picture()).format == "PNG"


@pytest.mark.parametrize("kind", PICTURES)
def test_the_same_figures_give_the_same_bytes(kind: str) -> None:
    assert PICTURES[kind](["a", "b"]).png == PICTURES[kind](["a", "b"]).png


@pytest.mark.parametrize("explain", [True, False])
def test_the_pictures_of_one_notebook_fit_into_it(explain: bool) -> None:
    labels = [f"label {index}" for index in range(6)]
    sizes = [len(PICTURES[kind](labels).png) for kind in PICTURES if (kind in ("words", "deletion")) == explain]
    assert sum(sizes) * 4 / 3 < 150_000


def test_pictures_say_in_words_what_they_show() -> None:
    assert repr(confusion(np.array([[3, 1], [0, 4]]), ["a", "b"])) == (
        "Confusion matrix of 2 labels: 7 of 8 documents got their true label."
    )
    assert repr(curve([2, 1], [0.5, 0.4], {})) == ("Training over 2 epochs: best validation accuracy 0.500 in epoch 1.")
    assert repr(reliability(BINS, BINS)) == (
        "Share of right answers over confidence: off by 0.188 before and 0.188 after calibration."
    )
    assert repr(PICTURES["coverage"]([])).endswith("at the threshold 40% are answered and 95.0% of these right.")
    assert repr(growth([1000], [(0.3, 0.2, 0.4)])) == "Accuracy by documents learnt from: 1,000 documents 0.300."
    assert repr(deletion({"top": (0.4, 0.3, 0.5)}, "drop")) == "drop: top 0.400 (0.300 to 0.500)."


def test_words_against_a_label_have_a_colour_of_their_own() -> None:
    assert has(words({"a": [("x", 1.0), ("y", -1.0)]}), "#d55e00")
    assert not has(words({"a": [("x", 1.0), ("y", 1.0)]}), "#d55e00")


def test_a_threshold_is_marked_where_there_is_one() -> None:
    kept, accuracy = np.linspace(0.1, 1, 50), np.linspace(1, 0.8, 50)
    assert has(coverage(kept, accuracy, (0.4, 0.95), 0.9), "#d55e00")
    assert not has(coverage(kept, accuracy, (0.0, None), 0.9), "#d55e00")


def test_a_long_name_keeps_its_ends() -> None:
    assert short("a b\tc", 9) == "a b c"
    assert short("0123456789abcdef", 9) == "0123…cdef"
    assert short("a\x00b") == "a\ufffdb"
