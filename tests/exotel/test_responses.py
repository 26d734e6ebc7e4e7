from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from calyapp.clients.store import Client
from calyapp.config import Settings
from calyapp.exotel.responses import ExotelResponses

CALL = UUID(int=5)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def responses():
    environment = {"APP_ENV": "testing", "STREAM_BASE_URL": "wss://media.example/agents/", "SAY_VOICE": "man"}
    return ExotelResponses(Settings.from_env(environment))


def client(**say: str) -> Client:
    defaults = {"say_text": None, "say_voice": None, "say_language": None}
    return Client(
        id=CALL, name="A", numbers=(), key_version=1, oldest_key_version=1, disabled_at=None, **{**defaults, **say}
    )


class TestStream:
    def test_url_names_the_media_server_the_call_and_a_token(self, responses):
        url = urlsplit(responses.stream(CALL, None, NOW)["url"])

        assert (url.scheme, url.netloc, url.path) == ("wss", "media.example", "/agents/audio")
        assert set(parse_qs(url.query)) == {"callId", "token"}
        assert len(url.query) <= 256

    def test_has_the_same_url_in_both_places(self, responses):
        answer = responses.stream(CALL, None, NOW)

        assert answer["Response"]["Stream"]["_attributes"] == {"url": answer["url"], "track": "both_tracks"}

    def test_greets_with_the_settings(self, responses):
        say = responses.stream(CALL, client(), NOW)["Response"]["Say"]

        assert (say["_text"], say["voice"], say["language"]) == (responses.settings.say_text, "man", "hi-IN")

    def test_greets_with_the_text_of_the_client(self, responses):
        greeting_client = client(say_text="Vanakkam", say_language="ta-IN")

        say = responses.stream(CALL, greeting_client, NOW)["Response"]["Say"]

        assert (say["_text"], say["voice"], say["language"]) == ("Vanakkam", "man", "ta-IN")
