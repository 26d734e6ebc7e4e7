"""The types of command line parameters."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from marshmallow import ValidationError as Invalid

from calyapp import clock, phone
from calyapp.access.principal import Role
from calyapp.setting_kinds import WEB_URL, Kind
from calyapp.web.schemas.requests import account


class ClientName(click.ParamType[str]):
    """A printable name, with single spaces between words."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = " ".join(value.split())
        return (
            text
            if 0 < len(text) <= 200 and text.isprintable()
            else self.fail("must be 1 to 200 printable characters.", param, ctx)
        )


class PhoneNumber(click.ParamType[str]):
    """A phone number in any usual format, converted to E.164."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return phone.e164(value) or self.fail(f"{value!r} is not a phone number.", param, ctx)


class EmailAddress(click.ParamType[str]):
    """The e-mail address of a user, in lower case and under the rules of the API."""

    name = "email"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            address: str = account().deserialize(value)
        except Invalid:
            self.fail(f"{value!r} is not an e-mail address.", param, ctx)
        return address


class RoleValue(click.Choice[Role]):
    """A role, by its value: by default click uses the names of enum members."""

    def __init__(self) -> None:
        super().__init__(list(Role))

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        return str(choice)


class Share(click.ParamType[float]):
    """A percentage of deliveries, converted to a fraction from 0 to 1."""

    name = "percentage"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        digits = value.removesuffix("%")
        is_valid = digits.isascii() and digits.isdecimal() and int(digits) <= 100
        return int(digits) / 100 if is_valid else self.fail(f"{value!r} is not between 0% and 100%.", param, ctx)


class LikeSetting(click.ParamType[Any]):
    """A value under the rules of a setting's kind. The error does not repeat the value, which may be a secret."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self._kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._kind.read(value)
        except ValueError:
            self.fail(f"must be {self._kind.what}.", param, ctx)


WEB_ADDRESS = LikeSetting("url", WEB_URL)


class Moment(click.ParamType[str]):
    """A time in ISO 8601, a day (its start, in UTC) or an age such as `90m`, converted to ISO 8601."""

    name = "moment"
    _AGO = re.compile(r"([0-9]{1,5})([smhd])")
    _UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}  # noqa: RUF012 — a constant

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if ago := self._AGO.fullmatch(value):
            return (clock.now() - timedelta(**{self._UNITS[ago[2]]: int(ago[1])})).isoformat()
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} must be a time such as 2026-11-22T09:30:00Z, a day such as 2026-11-22, "
                "or an age such as 90m, 6h or 7d.",
                param,
                ctx,
            )
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
