import pytest

from calyapp.anomaly.program import edges, is_program


@pytest.mark.parametrize(
    "text",
    [
        "if a:\n    b()\nelse:\n    c()",
        "select a\nfrom b\n  join c\n  on d = e;\n-- the end",
        "function a() {\n  return b;\n}\na();",
        "# Title\n\n```sh\nmake\n```\n| a | b |",
    ],
)
def test_text_with_the_layout_of_a_program_is_a_program(text):
    assert is_program(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a = b; c = d;",
        "x;\nid;",
        "Dear Asha\nplease call\nthe customer\ntomorrow morning",
        "\n\n\n;id\n\n",
        "9;\na=$(id)\nif [ 2 != $a ]\nthen sleep 0\nelse sleep 9\nfi",
    ],
)
def test_a_single_line_or_a_letter_is_not_a_program(text):
    assert not is_program(text)


def test_edges_are_the_first_and_the_last_line():
    assert edges("\n a;\n b;\n c;\n\n") == ("a;", " c;")
