"""The wall between strangers' text and a colleague's browser.

Unusual: whatever a notebook holds reaches a page through one of three doors, and there is no fourth. Plain text is
escaped by the templates, HTML and Markdown pass an allow-list, a picture must prove to be a PNG or JPEG. Nothing that
passes can run, load, cover the page, leave it, or turn the text around it.
"""

import re
from html import escape as escape_text
from html import unescape
from typing import Any

from nbpipe.errors import RequestError
from nbpipe.report.private import anonymous, machine, shorten
from nbpipe.shown import words

try:
    import nh3
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup, escape
except ImportError as lacking:
    raise RequestError(f"{lacking.name}: not installed; the report needs pip install 'nbpipe[explain]'") from None

# fmt: off
_TAGS = {
    "b", "strong", "i", "em", "u", "s", "mark", "span", "small", "sub", "sup", "kbd", "code", "pre", "p", "div", "br",
    "hr", "blockquote", "details", "summary", "progress", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl",
    "dt", "dd", "table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td",
}
# fmt: on
_ATTRIBUTES = {
    "*": {"style", "title"},
    "th": {"colspan", "rowspan", "scope"},
    "td": {"colspan", "rowspan"},
    "ol": {"start"},
    "progress": {"value", "max"},
}
_DROPPED = {"script", "style", "svg", "math", "iframe", "object", "template", "title", "textarea", "noscript"}
_DECLARATION = re.compile(
    r"(?:text-align|background-color|font-weight|font-style|text-decoration)"
    r"\s*:\s*(?:[\w#%.\s-]+|(?:rgb|hsl)a?\([\w%.,\s/]+\))",
    re.ASCII,
)
_BETWEEN_TAGS = re.compile(r"(<[^<>\"]*(?:\"[^\"]*\"[^<>\"]*)*>)|([^<]+)")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(html: str) -> Markup:
    """Return the harmless part of an HTML fragment, balanced: tables, mark-up of words, text; no link, no picture."""
    kept = nh3.clean(
        _CONTROL.sub("\ufffd", html),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        clean_content_tags=_DROPPED,
        link_rel=None,
    )
    return Markup(_BETWEEN_TAGS.sub(lambda part: part[1] or escape_text(shorten(unescape(part[2])), quote=False), kept))


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep of a style only the declarations that colour or align; every other attribute passes, its paths shortened."""
    if name != "style":
        return shorten(value)
    declarations = (part.strip() for part in value.split(";"))
    return ";".join(part for part in declarations if _DECLARATION.fullmatch(part)) or None


def markdown(text: str) -> Markup:
    """Return Markdown as cleaned HTML. HTML inside it is shown, not obeyed; a link keeps its words only."""
    reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return clean(reader.render(text))


def plain(text: str) -> str:
    """Return a terminal's text without its colours and without what it tells of the machine and its user."""
    return shorten(anonymous(_CONTROL.sub("\ufffd", _ANSI.sub("", text)), machine()))


def headline(text: str) -> Markup:
    """Return a long sentence with its first clause in bold, escaped."""
    first, *rest = re.split(r"(?<=[;.]) ", text, maxsplit=1)
    return Markup(" ").join([Markup("<b>{}</b>").format(first), *map(escape, rest)])


def fill(template: str, **facts: Any) -> str:
    """Return a filled template of this folder; every value is escaped, save those that came through a door above."""
    loader = PackageLoader("nbpipe.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"words": words, "headline": headline}
    return _CONTROL.sub("\ufffd", environment.get_template(template).render(**facts))
