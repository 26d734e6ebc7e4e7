import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from calyapp.access.principal import Origin, PrincipalKind, Role
from calyapp.access.session_store import MAX_IDLE, MAX_LIFETIME, USE_RECORDED_EVERY

ORIGIN = Origin("api", "203.0.113.9", "Firefox", "1795344419512-bd9d62pfg6a7")


@pytest.fixture
def store(services):
    return services.sessions


@pytest.fixture
def credentials(services, asha):
    return services.users.credentials(asha.email)


@pytest.fixture
def age(query):
    """`age(column, by)`: makes a session's timestamp earlier by this interval."""
    return lambda column, by: query(f"UPDATE sessions SET {column} = {column} - %s", by)


class TestOpen:
    def test_returns_a_token_that_is_not_stored(self, store, credentials, stored):
        token = store.open(credentials, ORIGIN).token

        assert token not in str(stored())

    def test_lasts_twelve_hours(self, store, credentials, query):
        expires_at = store.open(credentials, ORIGIN).expires_at

        ((created_at, stored_expiry),) = query("SELECT created_at, expires_at FROM sessions")
        assert expires_at == stored_expiry == created_at + MAX_LIFETIME

    def test_is_audited_with_its_origin(self, store, credentials, asha, query):
        store.open(credentials, ORIGIN)

        assert query(
            "SELECT user_id::text, host(ip_address), user_agent, request_id, status FROM audit_logs "
            "WHERE event_type = 'LOGIN_SUCCESS'"
        ) == [(str(asha.id), ORIGIN.ip_address, ORIGIN.user_agent, ORIGIN.request_id, "success")]

    def test_is_refused_if_the_password_has_changed_since_verification(
        self, services, store, credentials, asha, stored
    ):
        services.users.set_password(asha.id, "new hash")
        before = stored()

        assert store.open(credentials, ORIGIN) is None
        assert stored() == before

    def test_waits_for_a_concurrent_change_of_the_password(self, store, credentials, query):
        query("BEGIN")
        query("UPDATE users SET password_hash = 'new hash'")
        with ThreadPoolExecutor() as threads:
            opening = threads.submit(store.open, credentials, ORIGIN)
            while not (opening.done() or query("SELECT 1 FROM pg_locks WHERE NOT granted")):
                time.sleep(0.01)
            query("COMMIT")

            assert opening.result() is None

    def test_is_refused_for_a_suspended_user(self, services, store, credentials, asha):
        services.users.suspend(asha.id)

        assert store.open(credentials, ORIGIN) is None


class TestFind:
    def test_returns_the_principal_of_the_session(self, store, credentials, asha):
        principal = store.find(store.open(credentials, ORIGIN).token)

        assert (principal.kind, principal.id, principal.name) == (PrincipalKind.USER, asha.id, asha.email)
        assert (principal.role, principal.client_id) == (Role.ADMIN, None)

    def test_does_not_return_a_session_after_its_maximum_lifetime(self, store, credentials, age):
        token = store.open(credentials, ORIGIN).token
        age("expires_at", MAX_LIFETIME)

        assert store.find(token) is None

    def test_does_not_return_a_session_that_was_idle_too_long(self, store, credentials, age):
        token = store.open(credentials, ORIGIN).token
        age("last_used_at", MAX_IDLE)

        assert store.find(token) is None

    def test_returns_a_session_that_is_used_regularly(self, store, credentials, age):
        token = store.open(credentials, ORIGIN).token

        for _ in range(3):
            age("last_used_at", MAX_IDLE * 0.9)
            assert store.find(token) is not None

    def test_records_the_use_at_most_once_a_minute(self, store, credentials, age, query):
        token = store.open(credentials, ORIGIN).token
        versions = [query("SELECT xmin FROM sessions")]
        for wait in (USE_RECORDED_EVERY * 0, USE_RECORDED_EVERY):
            age("last_used_at", wait)
            before = query("SELECT xmin FROM sessions")
            store.find(token)
            versions.append(before == query("SELECT xmin FROM sessions"))

        assert versions[1:] == [True, False]


class TestClose:
    def test_ends_this_session_and_is_audited(self, store, credentials, asha, audited):
        token, other = (store.open(credentials, ORIGIN).token for _ in range(2))

        store.close(store.find(token), ORIGIN)

        assert store.find(token) is None
        assert store.find(other) is not None
        assert audited(asha)[-1] == ("LOGOUT", "Signed out", None, {"via": "api"})

    def test_changes_nothing_if_repeated(self, store, credentials, query):
        principal = store.find(store.open(credentials, ORIGIN).token)
        store.close(principal, ORIGIN)
        ended = query("SELECT revoked_at FROM sessions")

        store.close(replace(principal), ORIGIN)

        assert query("SELECT revoked_at FROM sessions") == ended
        assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'LOGOUT'") == [(1,)]


class TestForgetExpired:
    def test_keeps_valid_sessions(self, store, credentials, age, query):
        store.open(credentials, ORIGIN)
        age("expires_at", MAX_LIFETIME)
        token = store.open(credentials, ORIGIN).token

        store.forget_expired()

        assert query("SELECT count(*) FROM sessions") == [(1,)]
        assert store.find(token)
