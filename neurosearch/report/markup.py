"""HTML that cannot be broken out of: whatever is a plain text is escaped, only what was made here is not."""

import json
from collections.abc import Iterable
from html import escape
from typing import Any

#: Elements without an end.
_VOID = frozenset({"meta", "link", "br", "hr", "input"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


#: What stands inside an element: texts are escaped, None is nothing.
Content = str | Iterable["Content"] | None


def element(name: str, /, *content: Content, **attributes: str | bool | None) -> Html:
    """Returns an element.

    `element("p", "a < b", class_="note")` is `<p class="note">a &lt; b</p>`. In names of attributes an underscore at
    the end falls away and the others become dashes; True is an attribute without a value, None and False are none.
    """
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(content)}</{name}>")


def joined(content: Content) -> Html:
    """Returns the HTML of one content after the other."""
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(escape(content))
    return Html("".join(joined(each) for each in content))


def data_block(values: Any, id_: str) -> Html:
    """Returns plain values as JSON that a script of the page reads; a browser neither runs nor shows it.

    A `<` inside would end the block, or open a comment; JSON has another way to write it.
    """
    text = json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Html(f'<script type="application/json" id="{escape(id_)}">{text}</script>')


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'
