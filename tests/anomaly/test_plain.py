import pytest

from calyapp.anomaly.plain import is_plain, is_plain_again


@pytest.mark.parametrize(
    "value",
    [
        "",
        "b6a7f3d2c1e04f5a9b8c7d6e5f4a3b2c",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "+919876543210",
        "(022) 2345-6789",
        "2026-03-05 14:30:00",
        "Thu, 05 Mar 2026 14:30:00 +0530",
        '"1"',
        '"*1#"',
        "12#",
        "कृपया कल सुबह कॉल करें",
        "https://r.example/a.mp3?Expires=1772700000&Signature=aBc~dE-fG_hI&Key-Pair-Id=APKA",
        "application/json; charset=utf-8",
    ],
)
def test_a_value_without_syntax_is_plain(value):
    assert is_plain(value)
    assert is_plain_again(value)


@pytest.mark.parametrize(
    "value",
    ["O'Brien", "1 or 1=1", "1 union select 2", "a;b", "cat /etc/passwd", "/???/c?t", "https://x.example/?q=%27"],
)
def test_a_value_with_possible_syntax_is_not_plain(value):
    assert not is_plain(value)
    assert not is_plain_again(value)


def test_a_text_too_long_for_the_cache_is_classified():
    assert is_plain_again("a" * 1_000)
    assert not is_plain_again("a" * 1_000 + "'")


def test_a_very_long_text_is_not_plain():
    assert not is_plain("a" * 10_000)
