import pytest

from calyapp.anomaly.request_shape import MAX_INSPECTED_BYTES, is_oversized, suspicious_headers


def test_a_request_is_oversized_if_a_part_is_not_inspected():
    assert not is_oversized(MAX_INSPECTED_BYTES)
    assert is_oversized(MAX_INSPECTED_BYTES + 1)


@pytest.mark.parametrize("name", ["x-original-url", "x-rewrite-url", "x-http-method-override"])
def test_headers_that_rewrite_the_request_are_suspicious(name):
    assert list(suspicious_headers({"host": "a.example", name: "/admin"})) == [name]


def test_a_forwarded_host_other_than_the_host_is_suspicious():
    assert list(suspicious_headers({"host": "a.example", "x-forwarded-host": "b.example"})) == ["x-forwarded-host"]
    assert list(suspicious_headers({"host": "a.example", "x-forwarded-host": "A.example"})) == []
