"""Subsets are nested and fair, and the answer about more documents is what the last doubling shows."""

import numpy as np
import pytest

from nbpipe.train.growth import Growth, growth, subsets


def hot(targets: np.ndarray, labels: int = 3) -> np.ndarray:
    return np.arange(labels) == targets[:, None]


def made(accuracies: list[float], documents: int = 3000) -> Growth:
    """Return the growth of models that are right on the first so many of the test documents."""
    targets = np.random.default_rng(0).integers(0, 3, documents)
    places = np.random.default_rng(1).permutation(documents)
    predictions = [hot((targets + (places >= share * documents)) % 3) for share in accuracies]
    return growth([100 * 2**step for step in range(len(accuracies))], predictions, hot(targets), seed=0)


@pytest.mark.parametrize(
    ("accuracies", "documents", "said"),
    [
        (
            [0.5, 0.6, 0.7],
            3000,
            "More documents would likely help: going from 200 to 400 documents changed accuracy by +10",
        ),
        ([0.5, 0.7, 0.7], 3000, "More documents of this kind would hardly help"),
        ([0.5, 0.7, 0.6], 3000, "More documents of this kind would hardly help"),
        ([0.5, 0.7, 0.75], 20, "20 test documents cannot tell whether more would help"),
    ],
)
def test_the_last_doubling_says_whether_more_documents_help(accuracies: list[float], documents: int, said: str):
    assert made(accuracies, documents).sentence.text.startswith(said)


def test_accuracy_has_an_interval_at_each_size():
    found = made([0.5, 0.6, 0.7])
    assert [point.value for point in found.intervals] == pytest.approx([0.5, 0.6, 0.7], abs=0.001)
    assert all(point.low < point.value < point.high for point in found.intervals)
    assert [point["documents"] for point in found.facts()["accuracy"]] == [100, 200, 400]


def test_sizes_may_come_in_any_order():
    truth = hot(np.arange(300) % 3)
    found = growth([400, 90, 210], [truth, ~truth, ~truth], truth, seed=0)
    assert (found.sizes, found.half) == ([90, 210, 400], 210)
    assert found.gain.value == 1
    assert repr(found).count("1.000 (") == 2


def test_subsets_are_nested_and_of_the_size_that_was_asked_for():
    found = subsets(np.arange(1000), hot(np.arange(1000) % 3), (0.1, 0.25, 1), seed=0)
    assert [len(rows) for rows in found] == [100, 250, 1000]
    assert np.isin(found[0], found[1]).all()
    assert (found[2] == np.arange(1000)).all()


def test_subsets_keep_units_together():
    units = np.arange(1000) // 4
    rows = subsets(units, hot(units % 3), (0.3,), seed=0)[0]
    assert len(rows) == 300
    assert set(np.bincount(units[rows])) <= {0, 4}


def test_every_label_keeps_its_share():
    targets = np.random.default_rng(0).choice(3, 2000, p=[0.6, 0.3, 0.1])
    rows = subsets(np.arange(2000), hot(targets), (0.1,), seed=0)[0]
    assert np.bincount(targets[rows]) == pytest.approx(np.bincount(targets) / 10, abs=2)


@pytest.mark.parametrize("seed", range(5))
def test_a_small_subset_holds_every_label_where_it_can(seed: int):
    targets = np.repeat(np.arange(10), [910, *[10] * 9])
    small, tiny = subsets(np.arange(1000), hot(targets, 10), (0.015, 0.003), seed)
    assert set(targets[small]) == set(range(10))
    assert len(tiny) == 3


def test_many_labels_are_present_too():
    truth = np.zeros((500, 4), bool)
    truth[:, 0], truth[:250, 1], truth[7, 2] = True, True, True  # the last label is nobody's
    assert truth[subsets(np.arange(500), truth, (0.02,), seed=0)[0]].any(axis=0).tolist() == [True, True, True, False]


def test_subsets_depend_on_the_seed_alone():
    first, again, other = (subsets(np.arange(99), hot(np.arange(99) % 3), (0.5,), seed)[0] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


def test_one_size_alone_tells_nothing():
    targets = np.zeros(10, np.int64)
    found = growth([30], [hot(targets)], hot(targets), seed=0)
    assert found.sentence.text == "There are too few units to tell whether more documents would help."
    assert found.facts()["gain"] is None
