import socket

import pytest

from calyapp.doctor import stream
from calyapp.doctor.diagnosis import NamedCheck, Verdict, examine


def diagnosed(url: str):
    (diagnosis,) = examine([NamedCheck("stream", lambda: stream.check_stream(url))])
    return diagnosis


class TestStream:
    def test_to_a_server_that_listens_passes(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            found = diagnosed(f"ws://127.0.0.1:{listening.getsockname()[1]}/media")

        assert (found.verdict, found.found) == (Verdict.OK, "the media server accepts connections")

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("ws://127.0.0.1:1", "nothing listens there"),
            ("wss://127.0.0.1:1", "nothing listens there"),
            ("wss://media.invalid", "the host name does not resolve"),
        ],
    )
    def test_to_a_server_that_cannot_be_reached_warns(self, url, words):
        found = diagnosed(url)

        assert (found.verdict, found.found) == (Verdict.WARN, f"the media server cannot be reached: {words}")
        assert "STREAM_BASE_URL" in found.remedy
