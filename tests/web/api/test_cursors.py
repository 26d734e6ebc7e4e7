from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.db.keyset import Place
from calyapp.errors import ValidationError
from calyapp.web.api.cursors import Cursors

CURSORS = Cursors(b"a secret")
PLACE = Place(datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC), UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
LIST = {"list": "calls.list", "tenant": "*", "status": "failed"}
CURSOR = CURSORS.issue(PLACE, LIST)

places = st.builds(
    Place,
    st.datetimes(timezones=st.just(UTC)),
    st.uuids(),
)


def refuses(cursor: str, of: dict, cursors: Cursors = CURSORS) -> bool:
    with pytest.raises(ValidationError) as raised:
        cursors.read(cursor, of)
    return list(raised.value.details) == ["cursor"]


class TestCursor:
    @given(places)
    def test_returns_its_place(self, place):
        assert CURSORS.read(CURSORS.issue(place, LIST), LIST) == place

    @pytest.mark.parametrize(
        "other",
        [
            LIST | {"list": "audit.list"},
            LIST | {"tenant": "5a0c9f1e-8f43-4c5d-9d6f-0d1f3e1c2b4a"},
            LIST | {"status": "busy"},
            LIST | {"direction": "inbound"},
            {name: value for name, value in LIST.items() if name != "status"},
        ],
        ids=["route", "tenant", "value of a filter", "one filter more", "one filter less"],
    )
    def test_is_refused_for_another_list(self, other):
        assert refuses(CURSOR, other)

    @pytest.mark.parametrize("position", range(len(CURSOR)))
    def test_is_refused_with_another_letter(self, position):
        letter = "B" if CURSOR[position] == "A" else "A"

        assert refuses(CURSOR[:position] + letter + CURSOR[position + 1 :], LIST)

    @given(st.text(max_size=100))
    def test_that_was_never_issued_is_refused(self, text):
        assert refuses(text, LIST)

    def test_is_refused_under_another_secret(self):
        assert refuses(CURSOR, LIST, Cursors(b"another secret"))
