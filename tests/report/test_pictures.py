"""A picture is proven to be one, and holds nothing but its pixels."""

import base64
import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nbpipe.report.pictures import data_uri, picture


def drawn(kind: str, **options) -> bytes:
    """Return a picture of three by two pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (10, 200, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_picture_must_be_what_its_type_says() -> None:
    png = base64.b64encode(drawn("PNG")).decode()
    assert picture("image/png", png[:8] + "\n" + png[8:]).startswith("data:image/png;base64,")
    assert picture("image/jpeg", png) is None
    assert picture("image/svg+xml", base64.b64encode(b"<svg>").decode()) is None
    assert picture("image/png", png + '"><script>') is None


@pytest.mark.parametrize(
    "raw", [b"", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n...", drawn("PNG")[:-4], b"\xff\xd8\xff"]
)
@pytest.mark.parametrize("kind", ["image/png", "image/jpeg"])
def test_what_is_cut_off_is_no_picture(kind: str, raw: bytes) -> None:
    assert data_uri(kind, raw) is None


def test_a_png_keeps_its_pixels_and_nothing_else() -> None:
    told = PngInfo()
    told.add_text("Author", "alice at /home/alice")
    uri = data_uri("image/png", drawn("PNG", pnginfo=told) + b"<script>alice</script>")
    bare = base64.b64decode(uri.partition(",")[2])
    assert b"alice" not in bare
    assert bare.endswith(b"IEND\xaeB`\x82")
    assert pixels(uri).tobytes() == Image.open(io.BytesIO(drawn("PNG"))).tobytes()


def test_a_jpeg_loses_its_comments_and_where_it_was_taken() -> None:
    exif = Image.Exif()
    exif[0x010E] = "alice"
    uri = data_uri("image/jpeg", drawn("JPEG", exif=exif, comment=b"alice"))
    assert b"alice" not in base64.b64decode(uri.partition(",")[2])
    assert pixels(uri).size == (3, 2)
