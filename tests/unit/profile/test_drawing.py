"""Profiles in the terminal, on a page and as a picture."""

import sys
import unicodedata
from html.parser import HTMLParser

import pytest

from penstock.profile.compare import compare_profiles
from penstock.profile.errors import ProfileError
from penstock.profile.html import page
from penstock.profile.png import picture
from penstock.profile.terminal import draw
from tests.unit.profile.samples import HOSTILE, build, frame

PROFILE = build(frame())
SHIFTED = build(frame(1, shift=1.0), PROFILE)


def columns(text):
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text if not unicodedata.combining(one))


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("other", [None, SHIFTED])
def test_no_line_is_wider_than_the_terminal(width, other):
    text = draw(PROFILE, other, width=width)
    assert max(columns(line) for line in text.splitlines()) <= width
    assert "█" in text


def test_a_narrow_terminal_gets_the_narrowest_drawing():
    assert draw(PROFILE, width=1) == draw(PROFILE, width=40)


def test_the_terminal_obeys_nothing_in_a_profile():
    text = draw(PROFILE, SHIFTED)
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_the_comparison_names_what_drifted():
    text = draw(PROFILE, SHIFTED, feature="speed", width=200)
    assert "1 features drifted" in text
    assert "Drifted (Shift), PSI " in text
    assert "null 1.00 % → 1.00 %" in text
    assert "hour" not in text


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.attributes = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_the_page_is_self_contained_and_escaped():
    reader = Reader()
    text = page(PROFILE, SHIFTED)
    reader.feed(text)
    assert "script" not in reader.tags
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert reader.tags.count("svg") == len(PROFILE.features)
    assert not {"src", "href", "onclick", "onload"} & set(reader.attributes)
    assert "default-src 'none'" in text
    assert 'class="alarm">Drifted (Shift)' in text


def test_a_page_of_one_feature():
    assert page(PROFILE, feature="hour").count("<svg") == 1


@pytest.mark.parametrize("other", [None, SHIFTED])
def test_the_picture_is_a_png(other):
    assert picture(PROFILE, other).startswith(b"\x89PNG\r\n\x1a\n")
    assert picture(PROFILE, feature=HOSTILE).startswith(b"\x89PNG")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ProfileError, match=r"pip install 'penstock\[plot\]'"):
        picture(PROFILE)


@pytest.mark.parametrize("output", [draw, page, picture])
def test_an_unknown_feature_is_named(output):
    with pytest.raises(ProfileError, match="no feature 'nope'"):
        output(PROFILE, feature="nope")


def test_other_grids_cannot_be_compared():
    with pytest.raises(ProfileError, match="'speed' was counted on different grids"):
        compare_profiles(PROFILE, build(frame(1)))
