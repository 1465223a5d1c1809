"""What holds for the dealer and the plan whatever the documents are called and however large they are."""

from collections import Counter
from contextlib import suppress
from itertools import product
from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nbpipe.errors import WorkError
from nbpipe.preprocess.plan import _COST_OF_OPENING, Plan, deal

same = settings(derandomize=True, deadline=None)  # the same examples on every machine, however slow
names = st.text(min_size=1)  # any Unicode but lone surrogates, which ids never hold: quotes, line ends, NUL
folders = st.dictionaries(names, st.integers(0, 2**53), min_size=1, max_size=60)
numbers = st.integers(1, 3) | st.integers(1, 200)


@same
@given(folders, numbers)
def test_each_document_is_in_exactly_one_shard(sizes: dict[str, int], num_shards: int) -> None:
    shards = deal(sizes, num_shards)
    assert len(shards) == num_shards
    assert sorted(name for shard in shards for name in shard) == sorted(sizes)
    assert all(shard == sorted(shard) for shard in shards)


@same
@given(folders, numbers, st.integers())
def test_any_order_of_listing_deals_the_same_shards(sizes: dict[str, int], num_shards: int, seed: int) -> None:
    listed = list(sizes.items())
    Random(seed).shuffle(listed)
    assert deal(dict(listed), num_shards) == deal(sizes, num_shards)
    assert Plan(dict(listed), num_shards).fingerprint == Plan(sizes, num_shards).fingerprint


@same
@given(folders, numbers)
def test_the_fullest_shard_holds_at_most_the_mean_and_one_document(sizes: dict[str, int], num_shards: int) -> None:
    loads, largest = loads_of(sizes, num_shards), max(sizes.values()) + _COST_OF_OPENING
    assert max(loads) - min(loads) <= largest
    assert max(loads) * num_shards <= sum(loads) + largest * (num_shards - 1)  # whole numbers: no rounding


@same
@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=6), st.integers(1, 3))
def test_the_fullest_shard_is_at_most_four_thirds_of_the_best_possible(sizes: list[int], num_shards: int) -> None:
    """Graham's 4/3 - 1/(3m), against every way to deal a few documents."""
    every_way = product(range(num_shards), repeat=len(sizes))
    best = min(max(filled(sizes, way).values()) for way in every_way)
    assert 3 * num_shards * max(loads_of(dict(enumerate(sizes)), num_shards)) <= (4 * num_shards - 1) * best


def loads_of(sizes: dict, num_shards: int) -> list[int]:
    """Return what the dealer weighs: the bytes of each shard and the cost of opening its documents."""
    return [sum(sizes[name] + _COST_OF_OPENING for name in shard) for shard in deal(sizes, num_shards)]


def filled(sizes: list[int], way: tuple[int, ...]) -> Counter[int]:
    """Return the load of each shard when each document goes where `way` says."""
    loads: Counter[int] = Counter()
    for size, shard in zip(sizes, way, strict=True):
        loads[shard] += size + _COST_OF_OPENING
    return loads


@same
@given(folders, st.integers(1, 99_999))
def test_a_plan_comes_back_from_its_bytes(sizes: dict[str, int], num_shards: int) -> None:
    data = Plan(sizes, num_shards).encode()
    again = Plan.decode(data)
    assert again == Plan(sizes, num_shards)
    assert list(again.sizes) == list(sizes)
    assert again.encode() == data


@same
@given(folders, numbers, st.data())
def test_a_changed_byte_of_a_plan_never_changes_its_documents(
    sizes: dict[str, int], num_shards: int, data: st.DataObject
) -> None:
    """It is refused by name, or it is a space or the number of shards, which the fingerprint leaves out."""
    whole = bytearray(Plan(sizes, num_shards).encode())
    at, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    assume(whole[at] != byte)
    whole[at] = byte
    with suppress(WorkError):
        assert Plan.decode(bytes(whole)).sizes == sizes
