import pytest

from calyapp.web.schemas.service_responses import (
    HealthDetailsSchema,
    MetricsSchema,
    StatusAnswerSchema,
    StreamAnswerSchema,
)


def validated(schema, shown) -> dict:
    """Returns the errors of an answer, and its members that the schema does not declare."""
    named = {field.data_key for field in schema.fields.values()}
    return {"wrong": schema.validate(shown), "unnamed": set(shown) - named}


NOTHING = {"wrong": {}, "unnamed": set()}


class TestAnswersToExotel:
    def test_to_a_call_is_a_stream(self, deliver, start):
        assert validated(StreamAnswerSchema(), deliver("call-start", **start).get_json()) == NOTHING

    def test_to_a_status_contains_the_status_of_the_call(self, deliver):
        answer = deliver("call-status", CallSid="sid-1", CallStatus="ringing").get_json()

        assert validated(StatusAnswerSchema(), answer) == NOTHING


class TestHealth:
    @pytest.mark.parametrize(
        ("path", "schema"), [("/health/detailed", HealthDetailsSchema()), ("/health/metrics", MetricsSchema())]
    )
    def test_matches_its_schema(self, client, path, schema):
        assert validated(schema, client.get(path).get_json()) == NOTHING
