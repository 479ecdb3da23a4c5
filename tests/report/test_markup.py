import json

from neurosearch.report.markup import Html, data_block, element, joined


def test_texts_are_escaped_and_html_is_not() -> None:
    inner = element("b", "1 < 2")
    assert element("p", "a & b ", inner, None, ["c", "<d>"]) == "<p>a &amp; b <b>1 &lt; 2</b>c&lt;d&gt;</p>"


def test_attributes_are_escaped_renamed_and_left_out() -> None:
    written = element("details", class_='a"b', aria_label="<x>", open=True, hidden=None, id=False)
    assert written == '<details class="a&quot;b" aria-label="&lt;x&gt;" open></details>'


def test_void_elements_have_no_end() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_no_text_ends_a_block_of_data() -> None:
    block = data_block({"a": "</script><!--"}, "x")
    assert block.count("<") == 2
    assert json.loads(block.split(">", 1)[1].rsplit("<", 1)[0]) == {"a": "</script><!--"}


def test_html_stays_html() -> None:
    assert isinstance(joined(["a", element("br")]), Html)
