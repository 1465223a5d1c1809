"""Office files are zip packages of XML parts, or, with a password, OLE containers that hold such a package encrypted.

Unusual: nothing is believed that a package says of itself. A part that would unpack to more than memory allows is
refused by its name before it is read, a relation leads only to a part that is there, and expat, the XML parser, stops
at entities that grow without end and opens no other file.
"""

import io
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import IO
from xml.etree import ElementTree
from zipfile import ZipFile

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, cause, noted
from nbpipe.preprocess.passwords import locked, tried

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an encrypted package and an old DOC, XLS or PPT are OLE containers
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_FOR_ALL = "VelvetSweatshop"  # Excel encrypts with this where a workbook is protected but opens for everyone
_LARGEST = 256 << 20  # bytes that one part may unpack to
_ENCRYPTED = 1  # the flag of an encrypted zip entry
_UNREAD = frozenset(("Fallback", "del", "moveFrom", "pPr", "rPr", "sectPr"))
_NUMBER = "slidenum"  # a field; in notes it would stand among the words
_BREAKS = {"p": "\n", "br": "\n", "cr": "\n", "tab": "\t", "ptab": "\t", "noBreakHyphen": "-"}


def read_package(path: Path, options: Options, kind: str, read: Callable[[ZipFile], Parsed]) -> Parsed:
    """Hand the zip package of an office file to its reader, decrypted where a password of the list opens it.

    kind: what the ledger calls the parser, such as "docx".
    """
    with path.open("rb") as file:
        if file.read(len(_OLE)) != _OLE:
            return _unzipped(file, kind, read)
        file.seek(0)
        if _ENCRYPTED_PACKAGE not in file.read():
            old = {"docx": "DOC", "pptx": "PPT", "xlsx": "XLS"}.get(kind, "office file")
            reason = f"an OLE container, not {kind.upper()} (an old {old} under a new name?)"
            return Parsed("unreadable", reason)
        try:
            plain, note = _decrypted(file, options)
        except MemoryError:
            raise
        except Exception as error:  # an encryption that the library does not know, or a broken one
            reason = f"it opens only with a password, and its encryption cannot be read ({cause(error, path)})"
            return Parsed("encrypted", reason, kind)
        if plain is None:
            return Parsed("encrypted", locked(options.passwords), kind)
        return noted(_unzipped(plain, kind, read), note)


def _decrypted(file: IO[bytes], options: Options) -> tuple[IO[bytes] | None, str]:
    """Return the package in an OLE container, None where no password opens it, and what to note."""
    from msoffcrypto.exceptions import InvalidKeyError
    from msoffcrypto.format.ooxml import OOXMLFile

    container = OOXMLFile(file)
    for password, note in tried(options.passwords, _FOR_ALL):
        try:
            container.load_key(password=password, verify_password=True)
            container.decrypt(plain := io.BytesIO())
            return plain, note
        except InvalidKeyError:
            continue
    return None, ""


def _unzipped(file: IO[bytes], kind: str, read: Callable[[ZipFile], Parsed]) -> Parsed:
    with ZipFile(file) as archive:
        if any(entry.flag_bits & _ENCRYPTED for entry in archive.infolist()):
            reason = "it opens only with a password; none is tried on an encrypted zip archive"
            return Parsed("encrypted", reason, kind)
        return read(archive)


def elements(archive: ZipFile, part: str, starts: bool = False) -> Iterator[tuple[str, str, ElementTree.Element]]:
    """Yield each element of a part as (event, its name without the namespace, element) when it ends.

    starts: also when it starts. Raises ValueError where the part would unpack to more than memory should hold.
    """
    size = archive.getinfo(part).file_size
    if size > _LARGEST:
        raise ValueError(f"{part} would unpack to {size:,} bytes, more than {_LARGEST:,}")
    with archive.open(part) as file:
        for event, element in ElementTree.iterparse(file, events=("start", "end") if starts else ("end",)):
            yield event, local(element.tag), element


@lru_cache(maxsize=1024)  # millions of elements bear a few dozen names
def local(name: str) -> str:
    """Return the name of an element or attribute without its namespace."""
    return name.rpartition("}")[2]


def relations(archive: ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return what a part of an Open XML package refers to, by id: the kind and the name of another part.

    Left out is what leads to no part of the package.
    """
    folder, name = dirname(part), part.rpartition("/")[2]
    place = join(folder, "_rels", f"{name}.rels")
    found, names = {}, set(archive.namelist())
    for _, tag, element in elements(archive, place) if place in names else ():
        target = normpath(join("/", folder, element.get("Target", ""))).lstrip("/")
        if tag == "Relationship" and target in names:
            found[element.get("Id", "")] = (element.get("Type", "").rpartition("/")[2], target)
    return found


def paragraphs(archive: ZipFile, part: str) -> str:
    """Return the text of a part of a Word or PowerPoint file, a line a paragraph; deleted text is left out."""
    lines = "".join(_runs(archive, part)).split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())


def _runs(archive: ZipFile, part: str) -> Iterator[str]:
    """Yield the pieces of text of one part, line ends and tabs among them."""
    unread = 0
    for event, name, element in elements(archive, part, starts=True):
        if name in _UNREAD or element.get("type") == _NUMBER:
            unread += 1 if event == "start" else -1
        elif unread:
            continue
        elif name == "t" and event == "end":
            yield element.text or ""
        elif name in _BREAKS and (event == "start" or name == "p"):
            yield _BREAKS[name]
        if event == "end" and name == "p":
            element.clear()
