"""Damage done to documents: what `fuzz.py` and its test run a shard over.

Unusual: a damaged file follows from (seed, index) alone, so its number is enough to make it again. A mutation takes
bytes and a generator of random numbers, and knows formats by their look alone: a PDF falls into its objects, a zip into
its entries, a page into its elements, anything else into blocks.
"""

import io
import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from originals import originals, zipped

from nbpipe.preprocess.parsers import ACCEPTED

Mutation = Callable[[bytes, random.Random], bytes]

_LARGEST = 1 << 20  # bytes of a damaged file
_PIECE = re.compile(rb"(?=\b\d{1,9} \d{1,9} obj\b)|(?<=endobj)|(?=PK[\1\3\5])|(?=<[a-z])|(?=\\par)|(?=--==)")
_STREAM = re.compile(rb"(?<!end)stream\r?\n(.+?)\r?\n?endstream", re.DOTALL)
_NUMBER = re.compile(rb"-?\d+")
_TOLD = re.compile(rb"/(?:Length1?|Size|Prev|W|Index|First|N|Count|Width|Height|V|R|BitsPerComponent)\s*\[?\s*-?\d+")
_PLACE = re.compile(rb"(?m)(?:startxref\s+\d+|^\d{10} \d{5} |\d+ 0 R)")
_NUMBERS = (0, 1, -1, 255, 65_536, 2**31 - 1, 2**31, 2**32, 2**63, -(2**63), 10**30)
_OPENERS = (
    *(b"<div>", b"<table><tr><td>", b"<b>", b"<w:p>", b"&lt;", b"<!--"),
    *(b"[", b"<<", b"(", b"q ", b"BT ", rb"{\b ", b"--==0==\n"),
)


def flip(data: bytes, rng: random.Random) -> bytes:
    """Turn over 1 to 128 bits."""
    changed = bytearray(data)
    for _ in range(1 << rng.randrange(8) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut off the end."""
    return data[: rng.randrange(len(data) + 1)]


def splice(data: bytes, rng: random.Random) -> bytes:
    """Go on with the rest of another document."""
    other = rng.choice(list(originals().values()))
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """Write one object or block several times."""
    pieces, at = _pick(data, rng)
    room = max(1, (_LARGEST - len(data)) // (len(pieces[at]) + 1))
    return b"".join([*pieces[:at], pieces[at] * min(rng.choice([2, 10, 1000]), room), *pieces[at + 1 :]])


def delete(data: bytes, rng: random.Random) -> bytes:
    """Leave out up to three objects or blocks that follow one another."""
    pieces, at = _pick(data, rng)
    return b"".join(pieces[:at] + pieces[at + rng.randint(1, 3) :])


def reorder(data: bytes, rng: random.Random) -> bytes:
    """Shuffle some of the objects or blocks."""
    pieces, at = _pick(data, rng)
    some = pieces[at : at + rng.choice([2, 5, 50])]
    rng.shuffle(some)
    return b"".join([*pieces[:at], *some, *pieces[at + len(some) :]])


def renumber(data: bytes, rng: random.Random) -> bytes:
    """Put odd numbers in the place of up to eight: lengths, sizes, places in the file, or any."""
    pattern = rng.choice([_TOLD, _PLACE, _NUMBER])
    for _ in range(rng.randint(1, 8)):
        found = list(pattern.finditer(data))
        if not found:
            break
        number = rng.choice(list(_NUMBER.finditer(data, *rng.choice(found).span())))
        data = data[: number.start()] + b"%d" % rng.choice(_NUMBERS) + data[number.end() :]
    return data


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """Put odd binary numbers of 1 to 8 bytes in up to eight places."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        size, order = rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
        at = rng.randrange(len(data) + 1)
        field = (rng.choice(_NUMBERS) % (1 << 8 * size)).to_bytes(size, order)
        changed[at : at + size] = field
    return bytes(changed)


def behead(data: bytes, rng: random.Random) -> bytes:
    """Damage the first bytes: lost, replaced, or behind something else."""
    cut = rng.randint(1, 16)
    junk = rng.randbytes(rng.choice([1, 16, 1000, 5000]))
    return rng.choice([data[cut:], rng.randbytes(cut) + data[cut:], junk + data, b"\xef\xbb\xbf" + data])


def nest(data: bytes, rng: random.Random) -> bytes:
    """Open something a thousand times and never close it."""
    at, opener = rng.randrange(len(data) + 1), rng.choice(_OPENERS)
    return data[:at] + opener * rng.choice([10, 1000, 20_000]) + data[at:]


def inside(data: bytes, rng: random.Random) -> bytes:
    """Damage what is compressed, and compress it again: a stream of a PDF, a part of a DOCX."""
    deed = rng.choice(PLAIN)
    streams = [match for match in _STREAM.finditer(data) if _inflated(match[1])]
    if streams:
        chosen = rng.choice(streams)
        packed = zlib.compress(deed(_inflated(chosen[1]), rng))
        return data[: chosen.start(1)] + packed + data[chosen.end(1) :]
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # no zip, or one damaged already
        return data
    name = rng.choice(list(parts) or [""])
    return zipped(parts | {name: deed(parts[name], rng)}, ZIP_DEFLATED) if parts else data


PLAIN: tuple[Mutation, ...] = (flip, truncate, splice, repeat, delete, reorder, renumber, overwrite, behead, nest)
MUTATIONS: tuple[Mutation, ...] = (*PLAIN, inside)


def _pick(data: bytes, rng: random.Random) -> tuple[list[bytes], int]:
    """Return the objects of a PDF, the entries of a zip or the elements of a page, and the index of one of them."""
    pieces = _PIECE.split(data)
    if len(pieces) < 3:
        pieces = [data[start : start + 256] for start in range(0, len(data), 256)] or [b""]
    return pieces, rng.randrange(len(pieces))


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _LARGEST)
    except zlib.error:
        return b""


def damaged(index: int, seed: int) -> tuple[str, bytes]:
    """Return the name and the bytes of one damaged file: an original after one to four mutations."""
    rng = random.Random(f"{seed}/{index}")
    original = rng.choice(list(originals()))
    data = originals()[original]
    weights = [*[1] * len(PLAIN), len(PLAIN) if data.startswith(b"PK") else 1]  # damage to a zip itself ends it early
    for mutation in rng.choices(MUTATIONS, weights, k=rng.randint(1, 4)):
        data = mutation(data, rng)[:_LARGEST]
    if data in originals().values():
        data = flip(data, rng)
    stem, suffix = Path(original).stem, Path(original).suffix
    if rng.random() < 0.05:
        suffix = rng.choice(ACCEPTED)
    return f"{index:05d}-{stem}{suffix}", data
