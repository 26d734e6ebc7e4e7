from collections.abc import Iterator
from pathlib import Path

import pytest
from spooling import LEAST

from calyapp.spool.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """One that is empty, and as small as can be."""
    journal = Journal(tmp_path / "spool", LEAST)
    yield journal
    journal.close()
