from collections.abc import Iterator
from pathlib import Path

import pytest

from calyapp.spool.journal import MIN_BYTES, Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal of the smallest size."""
    journal = Journal(tmp_path / "spool", MIN_BYTES)
    yield journal
    journal.close()
