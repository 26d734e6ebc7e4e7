"""Builds the answers that Exotel acts on: the URL of the audio stream, and the greeting until it starts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from calyapp.clients.store import Client
from calyapp.config import Settings
from calyapp.exotel import stream_token


@dataclass(frozen=True, slots=True)
class ExotelResponses:
    """Builds answers from the settings."""

    settings: Settings

    def stream(self, call_id: UUID, client: Client | None, now: datetime) -> dict[str, Any]:
        """Returns the answer to a Voicebot or Stream applet, which reads only `url`. The client's greeting comes first.

        The query of the URL has 103 characters; Exotel allows 256 (docs/exotel-protocol.md, section 5.2).
        """
        url = self._stream_url(call_id, now)
        return {
            "url": url,
            "Response": {
                "Say": {
                    "_text": (client and client.say_text) or self.settings.say_text,
                    "voice": (client and client.say_voice) or self.settings.say_voice,
                    "language": (client and client.say_language) or self.settings.say_language,
                },
                "Stream": {"_attributes": {"url": url, "track": "both_tracks"}},
            },
        }

    def _stream_url(self, call_id: UUID, now: datetime) -> str:
        expires_at = now + timedelta(seconds=self.settings.stream_token_ttl_seconds)
        token = stream_token.mint(self.settings.stream_token_key.reveal(), call_id, expires_at)
        return f"{self.settings.stream_base_url}/audio?callId={call_id}&token={token}"
