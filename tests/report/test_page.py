import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from neurosearch.report.page import build_report
from neurosearch.search.stored import StoredStudy


class Outline(HTMLParser):
    """Notes what stands in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "a":
            self.links.append(str(values["href"]))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        assert "src" not in values, "a page without network loads nothing"


@pytest.fixture(scope="module")
def page(whole: StoredStudy) -> str:
    return build_report(whole)


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    return found


def test_sections_stand_in_their_order(outline: Outline) -> None:
    sections = [link for link in outline.links if link.startswith("#")]
    assert sections == ["#answer", *(f"#{each}" for each in ORDER)]


ORDER = ("answer", "front", "trajectories", "influence", "classes", "seeds", "cost", "reproduce")


def test_every_link_leads_somewhere_in_the_page_and_no_id_stands_twice(outline: Outline) -> None:
    assert len(outline.ids) == len(set(outline.ids))
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)


def test_headings_begin_with_one_title_and_leave_no_level_out(outline: Outline) -> None:
    levels = [int(each[1]) for each in outline.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_the_page_may_reach_nothing(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy.group(1).startswith("default-src &#x27;none&#x27;; script-src &#x27;sha256-")
    assert "unsafe-eval" not in policy.group(1)
    assert "http" not in policy.group(1)


def test_reasons_of_failures_are_text(page: str) -> None:
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
