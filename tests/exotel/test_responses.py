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
def answers():
    environment = {"APP_ENV": "testing", "STREAM_BASE_URL": "wss://media.example/agents/", "SAY_VOICE": "man"}
    return ExotelResponses(Settings.from_env(environment))


def client(**say: str) -> Client:
    nothing = {"say_text": None, "say_voice": None, "say_language": None}
    return Client(
        id=CALL, name="A", numbers=(), key_version=1, oldest_key_version=1, disabled_at=None, **{**nothing, **say}
    )


class TestStream:
    def test_leads_to_the_media_server_with_call_and_token(self, answers):
        url = urlsplit(answers.stream(CALL, None, NOW)["url"])

        assert (url.scheme, url.netloc, url.path) == ("wss", "media.example", "/agents/audio")
        assert set(parse_qs(url.query)) == {"callId", "token"}
        assert len(url.query) <= 256

    def test_says_the_same_url_in_both_places(self, answers):
        answer = answers.stream(CALL, None, NOW)

        assert answer["Response"]["Stream"]["_attributes"] == {"url": answer["url"], "track": "both_tracks"}

    def test_greets_as_the_settings_say(self, answers):
        say = answers.stream(CALL, client(), NOW)["Response"]["Say"]

        assert (say["_text"], say["voice"], say["language"]) == (answers.settings.say_text, "man", "hi-IN")

    def test_greets_as_the_client_prefers(self, answers):
        preferred = client(say_text="Vanakkam", say_language="ta-IN")

        say = answers.stream(CALL, preferred, NOW)["Response"]["Say"]

        assert (say["_text"], say["voice"], say["language"]) == ("Vanakkam", "man", "ta-IN")
