import pytest

from calyapp.vulnscan.outdated import outdated
from calyapp.vulnscan.report import NotLookedAt, Outdated
from calyapp.vulnscan.requirements import Pin


def test_it_is_what_is_behind_the_newest_version(advisories):
    advisories.versions = {"anvil": ["1.9", "1.10", "2.0rc1"], "hammer": ["2.0"], "saw": ["0.9"]}

    found = outdated([Pin("anvil", "1.9", ()), Pin("hammer", "2.0", ()), Pin("saw", "1.0", ())])

    assert found == (Outdated("anvil", "1.9", "1.10"),)


def test_an_index_that_does_not_answer_is_not_taken_for_good_news(advisories, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:canary@127.0.0.1:1/simple/")

    with pytest.raises(NotLookedAt, match=r"which versions of anvil there are$"):
        outdated([Pin("anvil", "1.9", ())])
