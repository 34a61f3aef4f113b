"""The monthly report: a page that stands alone, whatever the names in it are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from ledger_examples import decision, verdict

from audit.charts import bars_chart, days_chart
from audit.report import report
from audit.statistics import Period, statistics
from guard.types import Action

EVIL = "<script>alert('1')</script>\"'&{{ 7 * 7 }}"
NOVEMBER = Period.month("2026-11")


@pytest.fixture
def page(ledger, url):
    """Of a ledger in which every name is an attack."""
    for number, action in enumerate(Action):
        one = decision(action, number=number, tenant=EVIL)
        ledger.append_sync(replace(one, time=datetime(2026, 11, 3, tzinfo=UTC), verdict=verdict(action, EVIL, EVIL)))
    return report(statistics(url, NOVEMBER), ledger.identity, datetime(2026, 12, 2, tzinfo=UTC), tenant=EVIL)


class Reader(HTMLParser):
    """Elements, attributes and texts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.texts.append(data)


def test_names_are_texts_and_nothing_else(page):
    """No script, no handler, no template in a name."""
    read = Reader(page)
    assert "script" not in read.tags
    assert EVIL in read.texts
    assert not [name for name, _ in read.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere(page):
    """No link, no image, no style from a URL; the page forbids it itself, too."""
    read = Reader(page)
    assert not read.tags & {"link", "img", "iframe", "object", "embed", "audio", "video", "script", "base"}
    assert not {name for name, _ in read.attributes} & {"src", "href", "srcset", "data", "action"}
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_figures_stand_in_it(page):
    """Total, shares, and what is not over."""
    assert "<b>5</b><span>decisions (0 before)</span>" in page
    assert "<b>60.0%</b>" in page
    assert "The period is not over" not in page
    assert "@media print" in page


def test_an_empty_ledger_makes_a_page(ledger, url):
    """Without dividing by nothing; a month that goes on is told."""
    page = report(statistics(url, NOVEMBER), ledger.identity, datetime(2026, 11, 2, tzinfo=UTC))
    assert "None in either period." in page
    assert "The period is not over: the figures are those of 2026-11-02 00:00 UTC." in page


def test_charts_are_well_formed_and_their_bars_have_the_heights_of_their_numbers():
    """One pixel ratio for all bars."""
    chart = ET.fromstring(days_chart([("2026-11-01", {"allow": 30, "block": 10}), ("2026-11-02", {"allow": 15})]))
    bars = chart.findall("{*}rect")
    heights = [float(bar.get("height")) for bar in bars]
    assert [bar.find("{*}title").text for bar in bars] == [
        "2026-11-01: 30 allow",
        "2026-11-01: 10 block",
        "2026-11-02: 15 allow",
    ]
    assert heights[0] / heights[1] == pytest.approx(3, rel=0.01)
    assert heights[0] / heights[2] == pytest.approx(2, rel=0.01)
    assert float(bars[0].get("y")) == pytest.approx(float(bars[1].get("y")) + heights[1], abs=0.2)
    bars = ET.fromstring(bars_chart([(EVIL, {"block": 4}, 0), ("b", {"allow": 1, "block": 1}, 8)], 'Rules "<'))
    widths = [float(bar.get("width")) for bar in bars.findall("{*}rect")]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.01)
    assert bars.get("aria-label") == 'Rules "<'
    assert len(bars.findall("{*}path")) == 1
    assert days_chart([]) == bars_chart([], "Rules") == ""


def test_all_colours_of_the_key_are_those_of_the_bars(page):
    """A reader can tell actions apart."""
    key = dict(re.findall(r'background:(#[0-9a-f]{6})"></i>(\w+)', page))
    assert sorted(key.values()) == sorted(Action)
    assert all(f'fill="{colour}"' in page for colour in key)
