import click
import pytest
from click.testing import CliRunner

from calyapp.cli.audit import list_events
from calyapp.cli.calls import list_calls
from calyapp.cli.records import filtered_by
from calyapp.web.schemas import validators
from calyapp.web.schemas.requests import CallsSchema, EventsSchema, PaginationSchema


class NewSchema(PaginationSchema):
    """The filters of a list, one of which no other list has."""

    carrier = validators.string(1, 8, metadata={"description": "Whose network it was"})
    is_paid = validators.yes_or_no(data_key="isPaid", metadata={"description": "Whether it was paid"})


@pytest.fixture
def run():
    """`run(*arguments)` runs a command that prints its filters, declared by `NewSchema`, and returns the result."""

    @click.command()
    @filtered_by(NewSchema)
    def command(filters):
        click.echo(filters)

    return lambda *arguments: CliRunner().invoke(command, arguments)


class TestFilteredBy:
    @pytest.mark.parametrize(("command", "schema"), [(list_calls, CallsSchema), (list_events, EventsSchema)])
    def test_adds_an_option_for_every_field(self, command, schema):
        described = {parameter.name: parameter.help for parameter in command.params}

        for name, field in schema().load_fields.items():
            assert described[name] == f"{field.metadata['description']}."

    def test_needs_only_the_schema_for_a_new_filter(self, run):
        result = run("--carrier", "airtel", "--no-is-paid")

        assert result.stdout == "{'limit': 100, 'carrier': 'airtel', 'is_paid': False}\n"
        assert "Whose network it was." in run("--help").stdout

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (("--carrier", ""), "--carrier must be a text of 1 to 8 characters."),
            (("--limit", "0", "--carrier", ""), "--limit must be a whole number from 1 to 1000."),
            (("--limit", "many"), "Invalid value for '--limit': 'many' is not a valid integer."),
        ],
    )
    def test_prints_usage_and_option_if_the_schema_refuses_a_value(self, run, arguments, error):
        result = run(*arguments)

        assert (result.exit_code, result.stdout) == (2, "")
        assert error in result.stderr
