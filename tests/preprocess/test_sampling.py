"""A sample covers all sizes, and its total and interval are right as often as they say."""

import random
from pathlib import Path

import pytest

from nbpipe.preprocess.files import Document
from nbpipe.preprocess.sampling import NOISE, quantile, stratify, total


def folder(sizes: list[int]) -> list[Document]:
    """Return documents of these sizes, which lie nowhere."""
    return [Document(f"{index:05d}", size, Path("nowhere")) for index, size in enumerate(sizes)]


def skewed(count: int, seed: int = 0) -> list[int]:
    """Return sizes as real folders have them: many small ones, few large ones."""
    chance = random.Random(seed)
    return [int(chance.lognormvariate(11, 1.2)) for _ in range(count)]


@pytest.mark.parametrize("sizes", [skewed(500), [1000] * 500, [0] * 500, [*[10] * 499, 10**9], list(range(500))])
@pytest.mark.parametrize("count", [2, 3, 12, 40, 200, 499])
def test_strata_hold_each_document_once_and_as_many_are_drawn_as_asked(sizes: list[int], count: int) -> None:
    strata = stratify(folder(sizes), count)
    held = [document.id for stratum in strata for document in stratum.documents]
    drawn = [document.id for stratum in strata for document in stratum.drawn]
    assert sorted(held) == [document.id for document in folder(sizes)]
    assert len(set(drawn)) == len(drawn) == count
    assert all(set(stratum.drawn) <= set(stratum.documents) for stratum in strata)


def test_a_folder_smaller_than_the_sample_is_taken_whole() -> None:
    strata = stratify(folder(skewed(30)), 200)
    assert sum(len(stratum.drawn) for stratum in strata) == 30


def test_large_documents_are_drawn_more_often_but_none_stands_for_more_than_twice_its_share() -> None:
    documents = folder(skewed(2000))
    strata = stratify(documents, 100)
    weights = [len(stratum.documents) / len(stratum.drawn) for stratum in strata]
    assert max(weights) <= 2 * 2000 / 100 * 1.1
    assert weights[0] < weights[-1] / 4


def test_the_same_seed_draws_the_same_documents() -> None:
    documents = folder(skewed(500))
    again = [stratify(documents[::-1], 40, seed) for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_seconds_that_are_all_alike_give_their_exact_sum() -> None:
    found = total([(100.0, [0.5] * 4), (50.0, [0.5] * 4)])
    assert found.seconds == pytest.approx(75)
    assert found.high / 75 == pytest.approx(75 / found.low)
    assert found.high / 75 == pytest.approx(2.718281828 ** (1.959964 * NOISE))


def test_one_outlier_counts_for_itself_and_the_second_slowest_for_the_rest() -> None:
    found = total([(40.0, [1.0, 1.0, 2.0, 60.0])])
    assert found.seconds == pytest.approx(10 * (1 + 1 + 2 + 2) + 58)
    assert found.high > 10 * (1 + 1 + 2 + 60)


def test_no_documents_take_no_time() -> None:
    assert total([]).high == total([(5.0, [])]).high == 0
    assert quantile([], 0.5) == 0


def test_quantiles_weigh_each_document_by_what_it_stands_for() -> None:
    groups = [(10.0, [9.0, 9.0]), (90.0, [1.0, 2.0])]
    assert [quantile(groups, part) for part in (0.4, 0.5, 0.9, 0.95)] == [1.0, 2.0, 2.0, 9.0]


@pytest.mark.parametrize("slope", [0.0, 2e-7])
def test_the_interval_holds_the_truth_as_often_as_it_says(slope: float) -> None:
    chance, held, near = random.Random(5), 0, 0
    documents = folder(skewed(300))
    seconds = {one.id: (0.02 + slope * one.bytes) * chance.lognormvariate(0, 0.7) for one in documents}
    truth = sum(seconds.values())
    for seed in range(100):
        strata = stratify(documents, 40, seed)
        found = total([(len(s.documents), [seconds[one.id] for one in s.drawn]) for s in strata])
        held += found.low <= truth * chance.lognormvariate(0, NOISE) <= found.high
        near += abs(found.seconds / truth - 1) <= 0.2
    assert held >= 90
    assert near >= 80
