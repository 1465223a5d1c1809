"""Pictures as a page may hold them: proven to be one, and bare of what else their files tell.

Unusual: a PNG is taken apart by hand instead of being drawn anew. Only the chunks that make up its picture are kept, so
it stays the same to the pixel and as small as it was, while comments, paths and whatever follows its end are gone.
"""

import base64
import binascii
import io
import struct
from collections.abc import Iterator

from PIL import Image

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"IDAT", b"IEND"}


def picture(kind: str, data: str) -> str | None:
    """Return a base64 picture as a data URI; None where it is not what its MIME type says, or no picture at all."""
    try:
        raw = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data_uri(kind, raw)


def data_uri(kind: str, raw: bytes) -> str | None:
    """Return a picture as a data URI, without what its file says beside it; None where it is no picture of this kind.

    kind: image/png or image/jpeg.
    """
    bare = {"image/png": _bare_png, "image/jpeg": _bare_jpeg}.get(kind, lambda raw: None)(raw)
    return f"data:{kind};base64,{base64.b64encode(bare).decode()}" if bare else None


def _bare_png(raw: bytes) -> bytes | None:
    """Return a PNG of the chunks that make its picture; None where it is none, or is cut off."""
    if not raw.startswith(_PNG):
        return None
    chunks = list(_chunks(raw))
    kinds = [kind for kind, _ in chunks]
    whole = kinds[:1] == [b"IHDR"] and kinds[-1:] == [b"IEND"] and b"IDAT" in kinds
    return _PNG + b"".join(chunk for kind, chunk in chunks if kind in _KEPT) if whole else None


def _chunks(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the bytes of each chunk, up to the end of the picture."""
    at, kind = len(_PNG), b""
    while at + 12 <= len(raw) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", raw, at)
        yield kind, raw[at : at + 12 + length]
        at += 12 + length


def _bare_jpeg(raw: bytes) -> bytes | None:
    """Return a JPEG written anew with its own tables; None where it is none."""
    if not raw.startswith(_JPEG):
        return None
    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(raw), formats=["JPEG"]) as opened:
            opened.info.clear()
            opened.save(buffer, "JPEG", quality="keep", exif=b"", comment=b"")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return buffer.getvalue()
