from io import BytesIO

import pytest

MIB = 1024 * 1024


class BrokenChunks(BytesIO):
    """A body whose chunks turn out to be invalid while they are read: the server raises its own exception."""

    def read(self, _size: int = -1) -> bytes:
        raise RuntimeError("SELECT secret FROM /srv/server")


@pytest.fixture
def post(client, tenant):
    """`post(size, chunked)`: posts a valid form of this size, with a length or in chunks as Gunicorn provides them."""

    def send(size: int, *, chunked: bool):
        body = b"CallSid=s1&pad=".ljust(size, b"x")
        environ = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True}
        environ |= {"HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {"CONTENT_LENGTH": str(size)}
        return client.post(
            "/webhooks/exotel/call-end",
            query_string={"key": tenant.key},
            content_type="application/x-www-form-urlencoded",
            environ_overrides=environ,
        )

    return send


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_one_mebibyte_is_accepted_completely(post, query, chunked):
    assert post(MIB, chunked=chunked).status_code == 200
    assert query("SELECT length(payload->>'pad') FROM deliveries") == [(MIB - len("CallSid=s1&pad="),)]


@pytest.mark.parametrize("chunked", [False, True])
def test_one_byte_more_is_refused(post, query, chunked):
    answer = post(MIB + 1, chunked=chunked)

    assert (answer.status_code, answer.json["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert query("SELECT count(*) FROM deliveries") == [(0,)]


@pytest.mark.parametrize("path", ["/webhooks/exotel/call-end", "/health/live"])
def test_unreadable_chunks_are_answered_with_400(client, tenant, query, path):
    answer = client.post(
        path,
        query_string={"key": tenant.key, "CallSid": "s1"},
        environ_overrides={"wsgi.input": BrokenChunks(), "wsgi.input_terminated": True},
    )

    assert (answer.status_code, answer.json["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert "secret" not in answer.text
    assert query("SELECT count(*) FROM deliveries") == [(0,)]
