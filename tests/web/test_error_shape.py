from calyapp.web.error_shape import error_shape


def test_leaves_out_what_there_is_not():
    assert set(error_shape("CODE", "A sentence", "id")["error"]) == {"code", "message", "timestamp", "requestId"}


def test_holds_what_there_is():
    error = error_shape("CODE", "A sentence", "id", details={"a": ["b"]}, retry_after=3, stack="x")["error"]

    assert (error["details"], error["retryAfter"], error["stack"]) == ({"a": ["b"]}, 3, "x")
