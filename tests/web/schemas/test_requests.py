"""What each schema accepts, and the errors as an answer contains them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

from calyapp.errors import ValidationError
from calyapp.validation import load
from calyapp.web.schemas import validators
from calyapp.web.schemas.requests import (
    CallsSchema,
    LoginSchema,
    PaginationSchema,
    PasswordChangeSchema,
    ProfileSchema,
    StrictSchema,
)

SCHEMAS = [LoginSchema, PasswordChangeSchema, ProfileSchema, PaginationSchema]
PROFILE = {"name": "Asha Rao", "email": "asha@example.com", "phone": "098765 43210", "timeZone": "Asia/Kolkata"}
OLD, NEW = "old password 1", "new password 2"
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=8,
)
_NAMES = ["email", "password", "currentPassword", "newPassword", "name", "phone", "timeZone", "limit", "cursor"]


def refusal(schema: Schema, data: object) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        load(schema, data)
    return raised.value


class TestEverySchema:
    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_refuses_unknown_fields(self, schema):
        assert refusal(schema(), {"isAdmin": True}).details["isAdmin"] == ["is not a known field."]

    @pytest.mark.parametrize("schema", SCHEMAS)
    @pytest.mark.parametrize("data", [None, [], [{}], "x", 1])
    def test_refuses_other_values_than_objects(self, schema, data):
        assert refusal(schema(), data).details == {"": ["must be an object."]}

    @pytest.mark.parametrize("schema", SCHEMAS)
    @given(data=_json | st.dictionaries(st.sampled_from(_NAMES), _json))
    def test_gives_the_same_message_for_every_error(self, schema, data):
        with suppress(ValidationError):
            load(schema(), data)


class TestLogin:
    def test_accepts_an_address_in_any_case_and_keeps_the_password(self):
        taken = load(LoginSchema(), {"email": " Asha@Example.com ", "password": " x "})

        assert taken == {"email": "asha@example.com", "password": " x "}

    def test_reports_all_errors_together(self):
        assert refusal(LoginSchema(), {"password": ""}).message == (
            "email is missing. password must be a text of 1 to 128 characters."
        )

    @pytest.mark.parametrize("password", ["x" * 129, "a\0b", "\ud800", None, 1])
    def test_refuses_an_impossible_password(self, password):
        error = refusal(LoginSchema(), {"email": "asha@example.com", "password": password})

        assert set(error.details) == {"password"}


class TestPasswordChange:
    @pytest.mark.parametrize("new", ["aaaaaaaaaaaa", "x" * 128, "correct horse battery", "पासवर्ड बहुत लंबा है"])
    def test_accepts_any_new_password_that_is_long_enough(self, new):
        taken = load(PasswordChangeSchema(), {"currentPassword": "short", "newPassword": new})

        assert taken == {"current_password": "short", "new_password": new}

    @pytest.mark.parametrize("new", ["", "x" * 11, "x" * 129, "long enough\0 but NUL"])
    def test_refuses_a_new_password_by_length_or_control_characters_alone(self, new):
        error = refusal(PasswordChangeSchema(), {"currentPassword": OLD, "newPassword": new})

        assert set(error.details) == {"newPassword"}

    def test_refuses_the_current_password_as_the_new_one(self):
        error = refusal(PasswordChangeSchema(), {"currentPassword": OLD, "newPassword": OLD})

        assert error.details == {"newPassword": ["must differ from the current password."]}

    def test_names_its_fields_as_in_the_request(self):
        assert set(refusal(PasswordChangeSchema(), {}).details) == {"currentPassword", "newPassword"}

    def test_never_repeats_a_password(self):
        error = refusal(PasswordChangeSchema(), {"currentPassword": OLD + "\0", "newPassword": NEW + "\0"})

        assert OLD not in repr(error.details) + error.message
        assert NEW not in repr(error.details) + error.message


class TestProfile:
    def test_accepts_all_fields(self):
        assert load(ProfileSchema(), PROFILE) == {
            "name": "Asha Rao",
            "email": "asha@example.com",
            "phone": "+919876543210",
            "time_zone": "Asia/Kolkata",
        }

    def test_does_not_require_a_phone_number(self):
        assert load(ProfileSchema(), {**PROFILE, "phone": None})["phone"] is None

    def test_accepts_some_fields_for_a_change(self):
        assert load(ProfileSchema(partial=True), {"name": " Asha "}) == {"name": "Asha"}

    @pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\u202eahsA"])
    def test_refuses_an_unreadable_name(self, name):
        assert set(refusal(ProfileSchema(), {**PROFILE, "name": name}).details) == {"name"}

    @pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
    def test_accepts_all_time_zones(self, zone):
        assert load(ProfileSchema(), {**PROFILE, "timeZone": zone})["time_zone"] == zone

    @pytest.mark.parametrize(
        "zone",
        [
            "",
            "Asia",
            "Asia/Nowhere",
            "../../etc/passwd",
            "/etc/localtime",
            "Asia//Kolkata",
            "zone.tab",
            "+05:30",
            "a\0",
            "é",
        ],
    )
    def test_refuses_other_time_zones(self, zone):
        assert set(refusal(ProfileSchema(), {**PROFILE, "timeZone": zone}).details) == {"timeZone"}


class TestPagination:
    def test_has_100_items_by_default(self):
        assert load(PaginationSchema(), MultiDict()) == {"limit": 100}

    def test_is_read_from_a_query_string(self):
        query = ImmutableMultiDict([("limit", "1000"), ("cursor", "b3BhcXVl_-")])

        assert load(PaginationSchema(), query) == {"limit": 1000, "cursor": "b3BhcXVl_-"}

    @pytest.mark.parametrize("limit", ["0", "1001", "-1", "", "ten", "1e2", "10.0", "9" * 5000, "१०"])
    def test_is_bounded(self, limit):
        error = refusal(PaginationSchema(), MultiDict({"limit": limit}))

        assert error.message == "limit must be a whole number from 1 to 1000."

    @pytest.mark.parametrize("cursor", ["", "x" * 513, "a\0b"])
    def test_bounds_the_cursor(self, cursor):
        assert set(refusal(PaginationSchema(), MultiDict({"cursor": cursor})).details) == {"cursor"}

    def test_refuses_to_choose_between_repeated_parameters(self):
        error = refusal(
            PaginationSchema(), MultiDict([("limit", "1"), ("limit", "2"), ("cursor", "a"), ("cursor", "b")])
        )

        assert set(error.details) == {"limit", "cursor"}


class TestRecords:
    @pytest.mark.parametrize(
        ("since", "until"),
        [
            ("2026-11-22T09:30:00Z", "2026-11-22T09:30:00Z"),
            ("2026-11-22T09:30:00Z", "2026-11-22T14:00:00+05:30"),
            ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
        ],
        ids=["no time", "in another zone", "beyond the calendar"],
    )
    def test_refuse_an_empty_span_of_time(self, since, until):
        error = refusal(CallsSchema(), MultiDict({"since": since, "until": until, "status": "lost"}))

        assert error.details["until"] == ["must be later than since."]
        assert set(error.details) == {"status", "until"}

    def test_accept_any_other_span_of_time(self):
        parameters = MultiDict({"since": "2026-11-22T09:30:00Z", "until": "2026-11-22T15:00:00.000001+05:30"})

        assert {"since", "until"} <= set(load(CallsSchema(), parameters))
        assert set(refusal(CallsSchema(), MultiDict({"since": "x", "until": parameters["until"]})).details) == {"since"}


class TestQueryString:
    class Filters(StrictSchema):
        callers = validators.array(validators.phone(), 1, 2, data_key="from")

    @pytest.mark.parametrize(
        ("numbers", "loaded"),
        [(["09876543210"], ["+919876543210"]), (["09876543210", "+12125550123"], ["+919876543210", "+12125550123"])],
        ids=["once", "twice"],
    )
    def test_reads_repeated_names_as_a_list(self, numbers, loaded):
        assert load(self.Filters(), MultiDict([("from", number) for number in numbers])) == {"callers": loaded}
