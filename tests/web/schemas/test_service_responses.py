import pytest

from calyapp.web.schemas.service_responses import (
    HealthDetailsSchema,
    MetricsSchema,
    StatusAnswerSchema,
    StreamAnswerSchema,
)


def deviations(schema, answer) -> dict:
    """Returns the errors of an answer, and its members that the schema does not declare."""
    declared = {field.data_key for field in schema.fields.values()}
    return {"errors": schema.validate(answer), "undeclared": set(answer) - declared}


NONE = {"errors": {}, "undeclared": set()}


class TestAnswersToExotel:
    def test_to_a_call_is_a_stream(self, deliver, start):
        assert deviations(StreamAnswerSchema(), deliver("call-start", **start).get_json()) == NONE

    def test_to_a_status_contains_the_status_of_the_call(self, deliver):
        answer = deliver("call-status", CallSid="sid-1", CallStatus="ringing").get_json()

        assert deviations(StatusAnswerSchema(), answer) == NONE


class TestHealth:
    @pytest.mark.parametrize(
        ("path", "schema"), [("/health/detailed", HealthDetailsSchema()), ("/health/metrics", MetricsSchema())]
    )
    def test_matches_its_schema(self, client, path, schema):
        assert deviations(schema, client.get(path).get_json()) == NONE
