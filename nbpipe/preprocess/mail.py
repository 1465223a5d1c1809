"""The text of a mail: its main headers, its body, the names of what is attached; a mail within a mail likewise.

Unusual: the standard library parses, yet raises where a header is broken enough, so such a one is taken as it stands.
Of the forms in which a body is sent at once the plain one is read, else the HTML. What is attached is named, never
opened, and so is a body that no encoding explains.
"""

from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.message import Message
from email.policy import EmailPolicy
from pathlib import Path

from nbpipe.preprocess.decoding import decode
from nbpipe.preprocess.markup import visible
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, judged

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_PLAIN, _HTML = "text/plain", "text/html"
_MAILS = ("message/rfc822", "message/global")
_FOUND = ("ascii", "us-ascii", "utf-8")  # what `decode` finds without being told
_OTHER = ""  # the kind of a piece that is no form of a body

Piece = tuple[str, str]  # kind, text


class _Lenient(EmailPolicy):
    """The default policy, but a header that it cannot understand is a string."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        """Return a header's value, decoded if it can be."""
        try:
            return super().header_fetch_parse(name, value)
        except Exception:  # half a dozen kinds
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_mail(path: Path, options: Options) -> Parsed:
    """Read a mail as one page; a file without any header is read as plain text."""
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").lstrip()
    mail = message_from_bytes(data, policy=_Lenient())
    lines = _lines(mail) if mail.keys() else [decode(data)]
    return judged(["\n".join(filter(None, lines))], "eml")


def _lines(mail: Message) -> Iterator[str]:
    for name in _HEADERS:
        yield from (f"{name}: {_line(value)}" for value in mail.get_all(name, []))
    yield from (text.strip() for _, text in _pieces(mail))


def _pieces(part: Message) -> list[Piece]:
    """Return what is to be read of a part: of a body's forms only one, of an attachment its name."""
    if not part.is_multipart():
        text = _body(part)
        return [(_OTHER, f"Attachment: {_name(part)}")] if text is None else [(part.get_content_type(), text)]
    if part.get_content_type() in _MAILS:
        return [(_OTHER, "\n".join(filter(None, _lines(part.get_payload(0)))))]
    pieces = [piece for inner in part.get_payload() for piece in _pieces(inner)]
    if part.get_content_subtype() != "alternative":
        return pieces
    shown = {kind for kind, text in pieces if text.strip()}
    unread = _HTML if _PLAIN in shown else _PLAIN
    return [piece for piece in pieces if piece[0] != unread]


def _body(part: Message) -> str | None:
    """Return the text of a part that is read, None of one that is only named."""
    try:
        if part.get_content_disposition() == "attachment" or part.get_filename():
            return None
        data = part.get_payload(decode=True) or b""
        if part.get_content_type() == _HTML:
            return visible(_decoded(part, data))
        # Several parts without a boundary between them are one text.
        is_text = part.get_content_type() == _PLAIN or part.get_content_maintype() == "multipart"
        return _decoded(part, data) if is_text else None
    except MemoryError:
        raise
    except Exception:  # the standard library's, or bytes that are no text
        return None


def _decoded(part: Message, data: bytes) -> str:
    """Return a body in the encoding that its header names; a guess where it names none or a wrong one.

    Raises ValueError where it is no text.
    """
    named = part.get_content_charset("ascii")
    if named not in _FOUND:
        with suppress(LookupError, ValueError):
            return data.decode(named)
    return decode(data, declared=part.get_content_type() == _HTML)


def _name(part: Message) -> str:
    try:
        name = _line(part.get_filename(""))
    except Exception:  # an encoding of the name that does not exist
        name = ""
    return name or part.get_content_type()


def _line(value: str) -> str:
    return " ".join(str(value).split())
