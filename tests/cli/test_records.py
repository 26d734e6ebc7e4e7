import click
import pytest
from click.testing import CliRunner

from calyapp.cli.audit import list_events
from calyapp.cli.calls import list_calls
from calyapp.cli.records import filtered_by
from calyapp.web.schemas import validators
from calyapp.web.schemas.requests import CallsSchema, EventsSchema, PaginationSchema


class NewSchema(PaginationSchema):
    """A list with a filter that no other has."""

    carrier = validators.string(1, 8, metadata={"description": "Whose network it was"})
    is_paid = validators.yes_or_no(data_key="isPaid", metadata={"description": "Whether it was paid"})


@pytest.fixture
def run():
    """`run(*arguments)`: how a command with the filters of `NewSchema` ends; it prints what it gets."""

    @click.command()
    @filtered_by(NewSchema)
    def command(filters):
        click.echo(filters)

    return lambda *arguments: CliRunner().invoke(command, arguments)


class TestFilteredBy:
    @pytest.mark.parametrize(("command", "schema"), [(list_calls, CallsSchema), (list_events, EventsSchema)])
    def test_makes_an_option_of_every_field(self, command, schema):
        described = {parameter.name: parameter.help for parameter in command.params}

        for name, field in schema().load_fields.items():
            assert described[name] == f"{field.metadata['description']}."

    def test_takes_a_filter_from_the_schema_alone(self, run):
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
    def test_ends_with_the_usage_and_the_option_where_the_schema_refuses(self, run, arguments, error):
        result = run(*arguments)

        assert (result.exit_code, result.stdout) == (2, "")
        assert error in result.stderr
