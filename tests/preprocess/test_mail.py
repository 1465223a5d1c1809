"""Every mail is made here; what is odd in it stands in the name of its test."""

from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from nbpipe.preprocess.parsers import Parsed, parse

HEAD = b"From: A <a@example.org>\nSubject: Odd\n"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[EmailMessage | bytes], Parsed]:
    """Write a mail and parse it."""

    def write_and_parse(mail: EmailMessage | bytes) -> Parsed:
        (tmp_path / "made.eml").write_bytes(mail if isinstance(mail, bytes) else mail.as_bytes())
        return parse(tmp_path / "made.eml")

    return write_and_parse


def mail(subject: str = "A plan", **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["Subject"] = subject
    for name, value in headers.items():
        made[name] = value
    return made


def test_the_headers_come_first_in_one_order_and_decoded(read: Callable) -> None:
    made = mail(
        "Größe, " * 20 + "Ende", Cc="c@example.org", To="B <b@example.org>", Date="Mon, 01 Jan 2024 10:00:00 +0000"
    )
    made["From"], made["X-Odd"] = "Ä <a@example.org>", "unseen"
    made.set_content("The body.\nIts second line.\n")
    row = read(made)
    assert (row.status, row.reason, row.parser) == ("ok", "", "eml")
    assert row.pages[0].splitlines() == [
        "From: Ä <a@example.org>",
        "To: B <b@example.org>",
        "Cc: c@example.org",
        "Date: Mon, 01 Jan 2024 10:00:00 +0000",
        "Subject: " + "Größe, " * 20 + "Ende",
        "The body.",
        "Its second line.",
    ]


def test_of_two_forms_the_plain_one_is_read(read: Callable) -> None:
    made = mail()
    made.set_content("plain")
    made.add_alternative("<p>marked</p>", subtype="html")
    assert read(made).pages == ["Subject: A plan\nplain"]


def test_html_is_read_as_it_is_seen_where_the_plain_form_is_blank(read: Callable) -> None:
    made = mail()
    made.set_content(" \n")
    made.add_alternative("<style>p{}</style><p>one<p>t<b>w</b>o &amp; more<script>let x</script>", subtype="html")
    assert read(made).pages == ["Subject: A plan\none\ntwo & more"]


def test_attachments_are_named_and_not_opened(read: Callable) -> None:
    made = mail()
    made.set_content("body")
    made.add_attachment(b"unseen", maintype="application", subtype="pdf", filename="Bericht Größe.pdf")
    made.add_attachment("unseen", filename="notes.txt")
    made.add_attachment(b"unseen", maintype="application", subtype="octet-stream")
    assert read(made).pages[0].splitlines()[1:] == [
        *("body", "Attachment: Bericht Größe.pdf", "Attachment: notes.txt", "Attachment: application/octet-stream")
    ]


def test_a_text_with_a_file_name_is_attached_even_if_nothing_says_so(read: Callable) -> None:
    made = mail()
    made.set_content("unseen", disposition="inline", filename="notes.txt")
    assert read(made).pages == ["Subject: A plan\nAttachment: notes.txt"]


def test_what_is_attached_to_the_form_that_is_not_read_is_named(read: Callable) -> None:
    made = mail()
    made.set_content("plain")
    made.add_alternative("<p>marked</p>", subtype="html")
    made.get_payload(1).add_related(b"unseen", maintype="image", subtype="png", filename="logo.png", cid="<logo>")
    assert read(made).pages == ["Subject: A plan\nplain\nAttachment: logo.png"]


def test_a_mail_within_a_mail_is_read_too(read: Callable) -> None:
    inner, outer = mail("Inner"), mail("Outer")
    inner.set_content("inner body")
    inner.add_attachment(b"unseen", maintype="application", subtype="zip", filename="deep.zip")
    outer.set_content("outer body")
    outer.add_attachment(inner)
    assert read(outer).pages[0].splitlines() == [
        *("Subject: Outer", "outer body", "Subject: Inner", "inner body", "Attachment: deep.zip")
    ]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"Content-Type: text/plain; charset=iso-8859-1\n", "naïve café".encode("latin-1")),
        (b"Content-Type: text/plain; charset=no-such-thing\n", "naïve café".encode()),
        (b"Content-Type: text/plain; charset=utf-8\n", "naïve café".encode("cp1252")),
        (b"", "naïve café".encode()),
        (b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", b"bmHDr3ZlIGNhZsOp\n"),
        (
            b"Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=utf-8\n",
            b"na=C3=AFve caf=C3=A9",
        ),
        (b"Content-Type: text/html; charset=x\n", "<meta charset=gb2312><p>naïve café".encode("gb18030")),
    ],
    ids=["named", "nonsense", "wrong", "unnamed", "base64", "quoted", "in the html"],
)
def test_bodies_are_decoded(read: Callable, header: bytes, body: bytes) -> None:
    assert read(HEAD + header + b"\n" + body).pages[0].splitlines()[2:] == ["naïve café"]


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: multipart/mixed\n",
        b"Content-Type: multipart/mixed; boundary=lost\n",
        b"Content-Type: ;;;=\n",
        b"Content-Type: text/plain; charset*0*=x'y'z%ZZ; charset*1=\n",
        b"Content-Transfer-Encoding: no-such-thing\n",
        b"Date: =?utf-8?q?not?= a date\nTo: <<>,;:@[\n",
        b"From: =?no-such-thing?b?!!!?=\nTo: \xff\xfe@\n",
        b"Content-Disposition: ; = ;\n",
    ],
)
def test_broken_mails_keep_their_words(read: Callable, header: bytes) -> None:
    row = read(HEAD + header + b"\nthe words of the body\n")
    assert row.status == "ok"
    assert "Subject: Odd" in row.pages[0]
    assert "the words of the body" in row.pages[0]


def test_a_header_that_the_library_cannot_take_is_kept_as_it_stands(
    read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, name: str, value: str) -> None:
        raise IndexError("inside")

    monkeypatch.setattr("email.policy.EmailPolicy.header_fetch_parse", fail)
    assert read("From: Größe\nSubject: Odd\n\nwords".encode()).pages == ["From: Größe\nSubject: Odd\nwords"]


def test_a_body_that_is_no_text_is_named(read: Callable) -> None:
    assert read(HEAD + b"Content-Type: text/plain\n\n" + bytes(200)).pages[0].splitlines()[2:] == [
        "Attachment: text/plain"
    ]


@pytest.mark.parametrize(
    ("data", "status"), [(b"words without a header", "ok"), (bytes(range(256)) * 9, "unreadable"), (b"\n \n", "empty")]
)
def test_what_has_no_header_is_read_as_text_or_refused(read: Callable, data: bytes, status: str) -> None:
    assert read(data).status == status


def test_a_mail_nested_without_end_costs_its_own_row(read: Callable) -> None:
    assert read(b"Content-Type: message/rfc822\n\n" * 5000 + b"words").status in ("ok", "unreadable")


def test_a_mark_before_the_first_header_is_no_part_of_it(read: Callable) -> None:
    assert read(b"\xef\xbb\xbf\n" + HEAD + b"\nwords").pages == ["From: A <a@example.org>\nSubject: Odd\nwords"]
