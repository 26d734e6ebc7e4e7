import pytest

from calyapp.vulnscan.package_index import outdated
from calyapp.vulnscan.report import Outdated, ScanError
from calyapp.vulnscan.requirements import Pin


def test_outdated_packages_are_older_than_the_newest_version(advisories):
    advisories.versions = {"anvil": ["1.9", "1.10", "2.0rc1"], "hammer": ["2.0"], "saw": ["0.9"]}

    result = outdated([Pin("anvil", "1.9", ()), Pin("hammer", "2.0", ()), Pin("saw", "1.0", ())])

    assert result == (Outdated("anvil", "1.9", "1.10"),)


def test_an_index_that_does_not_answer_is_an_error(advisories, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:canary@127.0.0.1:1/simple/")

    with pytest.raises(ScanError, match=r"the versions of anvil$"):
        outdated([Pin("anvil", "1.9", ())])
