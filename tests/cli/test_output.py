import json

from calyapp.cli.output import print_record, print_rows


def test_one_thing_has_a_line_for_each_field(capsys):
    print_record({"id": "1", "numbers": ["+911", "+912"], "disabled": False}, as_json=False)

    assert capsys.readouterr().out == "id        1\nnumbers   +911, +912\ndisabled  no\n"


def test_several_have_a_line_each_under_their_names(capsys):
    print_rows([{"name": "A", "numbers": []}, {"name": "Bee", "numbers": ["+911"]}], as_json=False)

    assert capsys.readouterr().out == "name  numbers\nA     -\nBee   +911\n"


def test_what_strangers_sent_steers_no_terminal(capsys):
    print_record({"agent": "a\x1b[2J\u202eb", "changes": {"name\n": ["x\x9b"]}}, as_json=False)

    assert capsys.readouterr().out == "agent    a\\x1b[2J\\u202eb\nchanges  name\\n=x\\x9b\n"


def test_none_has_a_word(capsys):
    print_rows([], as_json=False)

    assert capsys.readouterr().out == "None.\n"


def test_scripts_get_json(capsys):
    print_rows([{"a": 1}], as_json=True)
    print_record({"b": [2]}, as_json=True)

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [[{"a": 1}], {"b": [2]}]
