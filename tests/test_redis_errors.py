import socket

import pytest
import redis
from tls_listener import listening

from calyapp import redis_errors

SECRET = "canary"


def explained(url: str) -> str:
    """Returns the explanation of the error when a program uses the Redis at `url` for rate limits."""
    client = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
    with client, pytest.raises((redis.RedisError, OSError)) as raised:
        client.incr("LIMITS:test")
    explanation = redis_errors.explain(raised.value)
    assert explanation.remedy.endswith(".")
    assert SECRET not in str(explanation)
    return explanation.found


@pytest.fixture
def client(redis_server):
    """A client with an open connection, to configure the server."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.ping()
        yield client


def with_login(url: str, login: str) -> str:
    return url.replace("://", f"://{login}@")


class TestLogin:
    def test_error_without_a_password_is_explained(self, redis_server, client):
        client.config_set("requirepass", "right")

        assert explained(redis_server.url) == "Redis asks for a password, and none is set"

    def test_error_with_a_wrong_password_is_explained(self, redis_server, client):
        client.config_set("requirepass", "right")

        found = explained(with_login(redis_server.url, f":{SECRET}"))

        assert found == "Redis does not accept the user or the password"

    def test_error_with_an_unneeded_password_is_explained(self, redis_server):
        found = explained(with_login(redis_server.url, f":{SECRET}"))

        assert found == "Redis has no password, and one is given"

    def test_error_of_a_user_without_permission_is_explained(self, redis_server, client):
        client.acl_setuser("limited", enabled=True, passwords=["+right"], commands=["+ping"])

        found = explained(with_login(redis_server.url, "limited:right"))

        assert found == "Redis does not allow this user to count"


class TestServer:
    def test_that_does_not_listen_is_explained(self, redis_server):
        redis_server.stop()

        assert explained(redis_server.url) == "Redis refuses the connection: nothing listens there"

    def test_that_hangs_is_explained(self, redis_server):
        redis_server.hang()

        assert explained(redis_server.url) == "Redis does not answer in time"

    def test_whose_name_does_not_resolve_is_explained(self):
        assert explained(f"redis://:{SECRET}@{SECRET}.invalid") == "The host name of Redis does not resolve"

    def test_without_this_database_is_explained(self, redis_server):
        assert explained(redis_server.url + "99") == "Redis has no database of this number"

    def test_without_memory_is_explained(self, redis_server, client):
        client.config_set("maxmemory", "1")

        assert explained(redis_server.url) == "The memory of Redis is full"

    def test_that_is_a_replica_is_explained(self, redis_server, client):
        client.replicaof("127.0.0.1", "1")

        assert explained(redis_server.url) == "This Redis is a replica, which accepts no writes"

    def test_without_a_free_connection_is_explained(self, redis_server, client):
        client.config_set("maxclients", "1")

        assert explained(redis_server.url) == "Redis has no connection left"


class TestTls:
    def test_with_a_certificate_that_is_not_trusted_is_explained(self):
        with listening(tls=True) as port:
            assert explained(f"rediss://:{SECRET}@localhost:{port}") == (
                "The TLS certificate of Redis is not trusted, or is for another host"
            )

    def test_with_a_server_that_answers_in_clear_is_explained(self):
        with listening(b"-ERR unknown command\r\n") as port:
            assert explained(f"rediss://:{SECRET}@localhost:{port}") == "TLS with Redis failed"

    def test_in_clear_to_a_server_that_speaks_tls_is_explained(self):
        with listening(tls=True) as port:
            assert explained(f"redis://:{SECRET}@localhost:{port}") == "The connection to Redis broke"

    def test_with_a_server_that_waits_for_commands_is_explained(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            assert explained(f"rediss://localhost:{silent.getsockname()[1]}") == "Redis does not answer in time"


class TestExplanation:
    def test_of_an_error_of_another_kind_is_unknown(self):
        assert redis_errors.explain(ValueError(SECRET)).found == "Redis failed"
