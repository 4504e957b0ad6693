"""Pages of one file: what they hold is text that was escaped, tables, and figures within them."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from ..files import write_aside

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:1180px;margin:2em auto;padding:0 1em}
h1{margin-bottom:0}h2{margin-top:2em;border-bottom:1px solid #ddd}img{max-width:100%;margin:.4em 0}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em 1em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child,.words td:last-child,.words th:last-child{text-align:left}
.own tr:nth-child(2) td{font-weight:bold}summary{cursor:pointer}
figure{margin:1em 0}figcaption,.quiet{color:#666;font-size:.9em}pre{background:#f6f6f6;padding:1em;overflow:auto}
"""


class Markup(str):
    """A cell of a table that is markup already."""


def page(path: Path, title: str, parts: Iterable[str]) -> Path:
    """Write ``parts`` below a heading to ``path``, whole or not at all."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = f"<h1>{escape(title)}</h1>{''.join(parts)}"
    with write_aside(path) as aside:
        aside.write_text(f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n")
    return path


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def link(address: str, text: str) -> Markup:
    return Markup(f'<a href="{quote(address)}">{escape(text)}</a>')


def image(data: bytes, caption: str) -> str:
    source = base64.b64encode(data).decode()
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{source}"><figcaption>{text}</figcaption></figure>'


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """``kind``: own where the first row is what the page is about, words where the last column is text."""

    def line(tag: str, cells: Sequence[str]) -> str:
        texts = (cell if isinstance(cell, Markup) else escape(cell) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

    body = line("th", heading) + "".join(line("td", row) for row in rows)
    return f'<table class="{kind}">{body}</table>' if kind else f"<table>{body}</table>"


def folded(summary: str, content: str) -> str:
    """``content`` that a click on ``summary`` unfolds."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
