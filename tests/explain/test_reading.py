"""Every family's inputs are traced to the words that a person sees, and can be taken away by them."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch

from nbpipe.explain.attribute import Attributions
from nbpipe.explain.reading import Reading, _of_tokenizer, read, read_answers
from nbpipe.train.bag import Bag
from nbpipe.train.model import Classifier
from nbpipe.train.pairs import with_pairs
from nbpipe.train.text import Vocabulary, count_parts

tokenizers = pytest.importorskip("tokenizers")
PAGES = [["The Oven, oven", "unheard mast"], ["mast"], [""], ["OVEN badan"]]


def read_texts(classifier: Classifier, pages: list[list[str]]) -> Reading:
    texts = ["\n".join(document) for document in pages]
    return read(classifier, pl.DataFrame({"pages": pages, "text": texts}, {"pages": pl.List(pl.String), "text": str}))


def test_places_point_to_their_words(any_family: Classifier, corpus: pl.DataFrame) -> None:
    found = read(any_family, corpus)
    documents = found.owners[found.places.entry]
    names = found.names.gather(found.words[found.places.entry])
    assert len(names) > 30
    for document, page, start, end, name in zip(documents, *found.places[:3], names, strict=True):
        assert corpus["pages"][int(document)][int(page)][start:end].lower() == name


def test_each_different_word_of_a_document_is_listed_once(any_family: Classifier) -> None:
    found = read_texts(any_family, PAGES)
    spelt = [found.names.gather(found.words[first:last]).to_list() for first, last in zip(*_bounds(found), strict=True)]
    assert [spelt[0].count("oven"), spelt[0].count("mast"), spelt[1], spelt[2]] == [1, 1, ["mast"], []]
    assert np.bincount(found.places.entry)[spelt[0].index("oven")] == 2


def _bounds(found: Reading) -> tuple[list[int], list[int]]:
    return found.offsets[:-1].tolist(), found.offsets[1:].tolist()


def test_taking_no_word_away_changes_nothing(any_family: Classifier) -> None:
    found = read_texts(any_family, PAGES)
    same = found.without(np.zeros(len(found.words), bool))
    assert read_answers(any_family, same) == pytest.approx(read_answers(any_family, found.inputs), abs=1e-6)


def test_without_a_word_none_of_its_places_is_read(any_family: Classifier) -> None:
    found = read_texts(any_family, PAGES)
    gone = np.array([name == "oven" for name in found.names.gather(found.words)])
    kept = found.without(gone)
    if found.pieces is None:
        assert any_family.vocabulary.index["oven"] not in kept.words
        return
    hidden = gone[found.entries]
    assert set(kept.words[hidden].tolist()) == {found.blank}
    assert kept.words[~hidden].tolist() == found.inputs.words[~hidden].tolist()
    assert hidden.sum() == 3


def test_a_bag_without_words_is_weighed_as_if_they_had_never_stood_there(wise: Classifier) -> None:
    found = read_texts(wise, [["oven mast badan badan kedan"], ["mast"]])
    rest = found.without(found.words == wise.vocabulary.index["mast"])
    expected = wise.vocabulary.bags(pl.Series(["oven badan badan kedan", ""]))
    assert rest.words.tolist() == expected.words.tolist()
    assert rest.offsets.tolist() == expected.offsets.tolist()
    assert rest.weights == pytest.approx(expected.weights)


def test_some_documents_are_read_as_all_are(any_family: Classifier) -> None:
    whole, some = read_texts(any_family, PAGES), read_texts(any_family, [PAGES[0], PAGES[3]])
    found = whole.take(np.array([0, 3]))
    assert found.names.gather(found.words).to_list() == some.names.gather(some.words).to_list()
    assert [column.tolist() for column in found.places] == [column.tolist() for column in some.places]
    assert found.inputs.words.tolist() == some.inputs.words.tolist()
    if found.pieces is not None:
        assert found.pieces.tolist() == some.pieces.tolist()


def test_pieces_that_a_tokenizer_cuts_a_word_into_are_one_word() -> None:
    words = ["[PAD]", "[UNK]", "[MASK]", "tele", "##scope", "oven", ",", "##s"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(dict(zip(words, range(8), strict=True)), unk_token="[UNK]")
    )
    backend.normalizer = tokenizers.normalizers.Lowercase()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    cut = type("Cut", (), {"backend_tokenizer": backend, "mask_token_id": 2, "unk_token_id": 1, "pad_token_id": 0})
    pages = [["Telescopes, oven", "xyz telescope"]]
    tokens = [backend.encode("\n".join(pages[0]), add_special_tokens=False).ids]
    found = _of_tokenizer(cut, _tokens(tokens), pages)
    assert found.names.gather(found.words[found.places.entry]).to_list() == [
        "telescopes",
        ",",
        "oven",
        "xyz",
        "telescope",
    ]
    assert found.pieces.tolist() == [0, 0, 0, 1, 2, 3, 4, 4]
    assert list(zip(*found.places[:3], strict=True))[3:] == [(1, 0, 3), (1, 4, 13)]
    assert found.without(found.names.gather(found.words).to_numpy() == "telescope").words.tolist()[-2:] == [2, 2]


def _tokens(ids: list[list[int]]):
    from nbpipe.train.words import Tokens

    offsets = np.concatenate([[0], np.cumsum([len(own) for own in ids])])
    return Tokens(np.concatenate(ids).astype(np.int32), offsets)


@pytest.fixture
def paired(corpus: pl.DataFrame) -> Classifier:
    """A classifier of the corpus that also knows pairs of words."""
    torch.manual_seed(3)
    vocabulary = Vocabulary.of(with_pairs(count_parts([corpus["text"]], order=True)))
    network = Bag(len(vocabulary), 3, width=24).eval()
    with torch.no_grad():
        network.embedding.weight.normal_(0, 1)
    return Classifier(network, vocabulary, ["astronomy", "cooking", "sailing"], torch.device("cpu"))


def test_a_pair_over_the_end_of_a_page_stands_where_its_first_word_does(paired: Classifier) -> None:
    pair = next(word for word in paired.vocabulary.words if " " in word)
    first, second = pair.split(" ")
    found = read_texts(paired, [[f"x {first.upper()}.", "- 7", f"{second} {first}"]])
    row = found.names.gather(found.words[found.places.entry]).to_list().index(pair)
    assert (found.places.page[row], found.places.start[row], found.places.end[row]) == (0, 2, 2 + len(first))


def test_attributions_of_pairs_add_up_too(
    paired: Classifier, explain: Callable[..., Attributions], corpus: pl.DataFrame
) -> None:
    found = explain(paired, targets=[0] * 30)
    sums = [found.occurrences(number).attribution.sum() for number in range(30)]
    assert any(" " in name for name in found.reading.names.gather(found.reading.words))
    assert sums == pytest.approx(found.differences, abs=0.02 * float(np.abs(found.differences).max()))
