from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from calyapp.access.principal import PrincipalKind, Role
from calyapp.web.refusals import error_body
from calyapp.web.schemas import responses
from calyapp.web.schemas.responses import BaseResponseSchema, ErrorSchema, PrincipalSchema

SOME_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


class Sample(BaseResponseSchema):
    one_long_name = responses.text("A text", allow_none=True)
    other = responses.text("A text", data_key="_other")
    created_at = responses.moment("A moment", allow_none=True)


class TestNames:
    def test_are_in_camel_case_unless_declared_otherwise(self):
        shown = Sample().dump({"one_long_name": "x", "other": "y", "created_at": None})

        assert shown == {"oneLongName": "x", "_other": "y", "createdAt": None}


class TestMoment:
    @pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
    def test_is_in_utc_to_the_millisecond(self, zone):
        moment = datetime(2026, 11, 22, 9, 30, 0, 123_456, UTC).astimezone(zone)

        assert Sample().dump({"created_at": moment}) == {"createdAt": "2026-11-22T09:30:00.123Z"}


class TestPrincipal:
    @pytest.mark.parametrize("name", ["email", "name"])
    def test_has_an_address_or_a_name(self, name):
        asking = {"kind": PrincipalKind.USER, "id": SOME_ID, name: "x", "role": Role.ADMIN, "client_id": None}

        assert PrincipalSchema().dump(asking) == {
            "kind": "user",
            "id": str(SOME_ID),
            name: "x",
            "role": "admin",
            "clientId": None,
        }


class TestError:
    def test_matches_the_body_of_errors(self):
        shape = error_body("X", "It broke", "1-a", details={"limit": ["is wrong."]}, retry_after=1, stack="…")

        assert ErrorSchema().validate(shape) == {}
        assert set(shape["error"]) == {field.data_key for field in ErrorSchema().fields["error"].schema.fields.values()}
