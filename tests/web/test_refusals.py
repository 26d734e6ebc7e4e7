import pytest
from werkzeug.exceptions import default_exceptions

from calyapp.web.refusals import REFUSALS, error_body


def test_cover_every_error_that_the_framework_can_raise():
    assert set(default_exceptions) <= set(REFUSALS)


# Python 3.13 renamed these in `http.HTTPStatus`.
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (413, "PAYLOAD_TOO_LARGE"),
        (414, "REQUEST_URI_TOO_LONG"),
        (416, "REQUESTED_RANGE_NOT_SATISFIABLE"),
        (422, "UNPROCESSABLE_ENTITY"),
    ],
)
def test_have_the_same_codes_on_every_python(status, code):
    assert REFUSALS[status].code == code


def test_have_one_code_each():
    assert len({refusal.code for refusal in REFUSALS.values()}) == len(REFUSALS)


class TestErrorBody:
    def test_omits_absent_members(self):
        assert set(error_body("CODE", "A sentence", "id")["error"]) == {"code", "message", "timestamp", "requestId"}

    def test_contains_optional_members(self):
        error = error_body("CODE", "A sentence", "id", details={"a": ["b"]}, retry_after=3, stack="x")["error"]

        assert (error["details"], error["retryAfter"], error["stack"]) == ({"a": ["b"]}, 3, "x")
