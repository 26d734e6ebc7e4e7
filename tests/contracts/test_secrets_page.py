"""docs/secrets.md, which explains how to change a key: it has a complete section for every key."""

import re
from pathlib import Path

import pytest

from calyapp.config import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "secrets.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
KEYS = sorted(
    {setting.variable.removesuffix("_PREVIOUS") for setting in Settings.declared().values() if setting.is_key}
)
LISTED = re.findall(r"^\| \[`?(.+?)`?\]\(#(.+?)\)", PAGE, re.MULTILINE)


def test_every_key_of_the_settings_has_a_section():
    assert set(SECTIONS) >= set(KEYS)


def test_the_table_links_to_every_section():
    assert [name for name, _ in LISTED] == list(SECTIONS)
    assert [anchor for _, anchor in LISTED] == [
        re.sub(r"[^\w-]", "", name.lower().replace(" ", "-")) for name in SECTIONS
    ]


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize("part", [r"\*\*Protects?\*\*", r"\*\*Changing (it|them|one):\*\*", r"\*\*After a leak:\*\*"])
def test_every_section_is_complete(name, part):
    assert re.search(part, SECTIONS[name])


@pytest.mark.parametrize("name", KEYS)
def test_every_key_of_the_settings_explains_what_a_change_breaks(name):
    assert "**A change breaks**" in SECTIONS[name]
