import click
import pytest
import time_machine

from calyapp.access.principal import Role
from calyapp.cli.parameters import (
    WEB_ADDRESS,
    ClientName,
    EmailAddress,
    Moment,
    PhoneNumber,
    RoleValue,
    Share,
)


def test_a_number_becomes_e164():
    assert PhoneNumber().convert("080 4711 2345", None, None) == "+918047112345"


def test_a_name_loses_superfluous_spaces():
    assert ClientName().convert("  Asha   Clinics ", None, None) == "Asha Clinics"


def test_an_email_address_becomes_lower_case():
    assert EmailAddress().convert(" Asha@Example.COM ", None, None) == "asha@example.com"


def test_a_role_is_read_from_its_value():
    assert RoleValue().convert("auditor", None, None) is Role.AUDITOR
    with pytest.raises(click.BadParameter, match="'admin', 'auditor', 'client'"):
        RoleValue().convert("AUDITOR", None, None)


@pytest.mark.parametrize("text", ["", "asha", "asha@localhost", "a b@example.com"])
def test_an_invalid_email_address_is_refused(text):
    with pytest.raises(click.BadParameter):
        EmailAddress().convert(text, None, None)


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("20", 0.2), ("0%", 0.0), ("100%", 1.0)])
def test_a_share_is_written_as_a_percentage(text, share):
    assert Share().convert(text, None, None) == share


@pytest.mark.parametrize("text", ["101%", "-1%", "x", "", "%", "1.5%", "२%"])
def test_an_invalid_share_is_refused(text):
    with pytest.raises(click.BadParameter):
        Share().convert(text, None, None)


def test_a_url_is_not_changed():
    assert WEB_ADDRESS.convert("https://caly.example", None, None) == "https://caly.example"


@pytest.mark.parametrize(
    "text", ["caly.example", "ftp://caly.example", "https://", "https://u:p@h", "https://h?key=k", "https://h#f"]
)
def test_an_invalid_url_is_refused(text):
    with pytest.raises(click.BadParameter):
        WEB_ADDRESS.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T09:30:00Z", "2026-11-22T09:30:00+00:00"),
        ("2026-11-22T15:00:00+05:30", "2026-11-22T15:00:00+05:30"),
        ("2026-11-22", "2026-11-22T00:00:00+00:00"),
        ("90m", "2026-11-22T08:00:00+00:00"),
        ("7d", "2026-11-15T09:30:00+00:00"),
    ],
)
def test_a_moment_is_a_timestamp_a_date_or_an_age(text, moment):
    with time_machine.travel("2026-11-22T09:30:00Z", tick=False):
        assert Moment().convert(text, None, None) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "7 d", "-1d", "99999999d", "2026-13-01", "४d"])
def test_an_invalid_moment_is_refused(text):
    with pytest.raises(click.BadParameter, match="such as 2026-11-22T09:30:00Z"):
        Moment().convert(text, None, None)
