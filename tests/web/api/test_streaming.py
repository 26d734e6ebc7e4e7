from uuid import UUID

import pytest

from calyapp.errors import DatabaseAway, RateLimitError
from calyapp.web.api.streaming import Places, broken_by_errors

ASHA, RAVI, MEERA = map(UUID, ("0" * 31 + number for number in "123"))


class TestPlaces:
    def test_are_bounded_in_number(self):
        places = Places(2, "busy", 30)
        first, _second = places.take(ASHA), places.take(RAVI)

        with pytest.raises(RateLimitError, match="busy") as refused:
            places.take(MEERA)
        first.close()

        assert refused.value.retry_after == 30
        places.take(MEERA)

    def test_are_one_for_each_owner(self):
        places = Places(2, "busy", 30)
        first = places.take(ASHA)

        with pytest.raises(RateLimitError, match="busy"):
            places.take(ASHA)
        first.close()

        places.take(ASHA)
        places.take(RAVI)

    def test_are_released_only_once(self):
        places = Places(1, "busy", 30)
        place = places.take(ASHA)

        place.close()
        places.take(ASHA)
        place.close()

        with pytest.raises(RateLimitError):
            places.take(RAVI)


class TestBrokenByErrors:
    def test_yields_every_chunk(self):
        assert list(broken_by_errors(iter([b"a", b"b"]), "it", "1-a")) == [b"a", b"b"]

    @pytest.mark.parametrize("error", [DatabaseAway(), KeyError("secret")])
    def test_breaks_the_connection_and_logs_the_error(self, caplog, error):
        def chunks():
            yield b"a"
            raise error

        broken = broken_by_errors(chunks(), "an export", "1-a")

        assert next(broken) == b"a"
        with pytest.raises(ConnectionResetError):
            next(broken)
        (record,) = caplog.records
        assert record.getMessage() == f"an export failed: {type(error).__name__}"
        assert record.fields == {"requestId": "1-a"}
        assert bool(record.exc_info) is isinstance(error, KeyError)

    def test_stops_when_the_client_disconnects(self, caplog):
        ended = []

        def chunks():
            try:
                while True:
                    yield b"a"
            finally:
                ended.append(True)

        broken = broken_by_errors(chunks(), "an export", "1-a")
        next(broken)
        broken.close()

        assert ended == [True]
        assert "the client disconnected" in caplog.text
