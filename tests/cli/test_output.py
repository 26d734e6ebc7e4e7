import json

from calyapp.cli.output import print_record, print_rows


def test_a_record_has_a_line_for_each_field(capsys):
    print_record({"id": "1", "numbers": ["+911", "+912"], "disabled": False}, as_json=False)

    assert capsys.readouterr().out == "id        1\nnumbers   +911, +912\ndisabled  no\n"


def test_rows_have_a_line_each_below_the_column_names(capsys):
    print_rows([{"name": "A", "numbers": []}, {"name": "Bee", "numbers": ["+911"]}], as_json=False)

    assert capsys.readouterr().out == "name  numbers\nA     -\nBee   +911\n"


def test_control_characters_are_escaped(capsys):
    print_record({"agent": "a\x1b[2J\u202eb", "changes": {"name\n": ["x\x9b"]}}, as_json=False)

    assert capsys.readouterr().out == "agent    a\\x1b[2J\\u202eb\nchanges  name\\n=x\\x9b\n"


def test_an_empty_list_prints_none(capsys):
    print_rows([], as_json=False)

    assert capsys.readouterr().out == "None.\n"


def test_json_is_printed_on_request(capsys):
    print_rows([{"a": 1}], as_json=True)
    print_record({"b": [2]}, as_json=True)

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [[{"a": 1}], {"b": [2]}]
