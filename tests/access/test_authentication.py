import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from argon2 import PasswordHasher

from calyapp import metrics
from calyapp.access import tokens
from calyapp.access.principal import Origin, Role
from calyapp.access.tokens import TokenKind
from calyapp.db import queries
from calyapp.errors import DatabaseAway, ValidationError

EMAIL, PASSWORD, NEW = "ravi@example.com", "seven lamps by the ghat", "eight lamps by the ghat"
ORIGIN = Origin("api", "203.0.113.9")


@pytest.fixture
def ravi(services):
    return services.users.add(EMAIL, services.passwords.hash(PASSWORD), Role.ADMIN)


@pytest.fixture
def read_only(services, query):
    """`read_only()`: makes the database read-only for the application."""

    def make() -> None:
        ((name,),) = query("SELECT current_database()")
        query(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        services.database.close()  # the setting applies only to new connections

    return make


@pytest.fixture
def sign_in(services):
    return lambda email=EMAIL, password=PASSWORD: services.authentication.sign_in(email, password, ORIGIN)


class TestIdentify:
    def test_identifies_sessions_and_api_keys(self, services, ravi, sign_in):
        key, token = services.api_keys.create("Report", Role.ADMIN)

        known = [services.authentication.identify(one).id for one in (sign_in().session.token, token)]

        assert known == [ravi.id, key.id]

    @pytest.mark.parametrize("token", ["", "x", "cas_" + "A" * 48, "cwk_" + "A" * 56])
    def test_does_not_query_the_database_for_a_malformed_token(self, services, token):
        with queries.tallied() as tally:
            assert services.authentication.identify(token) is None

        assert tally.count == 0

    @pytest.mark.parametrize("kind", TokenKind)
    def test_refuses_a_token_that_was_never_issued(self, services, kind):
        assert services.authentication.identify(tokens.mint(kind)) is None

    def test_identifies_them_if_their_use_cannot_be_recorded(self, services, ravi, sign_in, query, read_only):
        token, (_, key) = sign_in().session.token, services.api_keys.create("Report", Role.ADMIN)
        query("UPDATE sessions SET last_used_at = last_used_at - interval '5 minutes'")

        read_only()

        assert None not in [services.authentication.identify(one) for one in (token, key)]

    @pytest.mark.parametrize("kind", TokenKind)
    def test_fails_immediately_while_the_breaker_is_open(self, services, kind):
        breaker = services.database.ingest.breaker
        while not breaker.is_open:
            breaker.failed(0)

        with queries.tallied() as tally, pytest.raises(DatabaseAway):
            services.authentication.identify(tokens.mint(kind))

        assert tally.count == 0


class TestSignIn:
    def test_opens_a_session_for_the_right_password(self, ravi, sign_in):
        assert sign_in().user == ravi
        assert sign_in().session is not None

    def test_opens_no_session_for_a_wrong_password_or_an_unknown_user(self, ravi, sign_in):
        assert (sign_in(password=NEW).session, sign_in("nobody@example.com").session) == (None, None)

    def test_opens_no_session_for_a_suspended_user(self, services, ravi, sign_in):
        services.users.suspend(ravi.id)

        assert sign_in().session is None

    @pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
    def test_verifies_once_whether_the_user_exists_or_not(self, ravi, sign_in, email):
        before = metrics.PASSWORD_VERIFICATIONS._value.get()

        sign_in(email, NEW)

        assert metrics.PASSWORD_VERIFICATIONS._value.get() - before == 1

    def test_rehashes_the_password_with_the_current_parameters(self, services, sign_in):
        outdated = PasswordHasher(memory_cost=1024, time_cost=2).hash(PASSWORD)
        services.users.add(EMAIL, outdated, Role.ADMIN)

        with ThreadPoolExecutor(2) as threads:
            sessions = [one.session for one in threads.map(lambda _: sign_in(), range(2))]

        assert None not in sessions
        assert not services.passwords.is_outdated(services.users.credentials(EMAIL).password_hash)
        assert sign_in().session is not None

    def test_keeps_an_outdated_hash_if_too_many_verifications_are_running(self, services, sign_in, monkeypatch):
        outdated = PasswordHasher(memory_cost=1024, time_cost=2).hash(PASSWORD)
        services.users.add(EMAIL, outdated, Role.ADMIN)
        # Other verifications take the remaining places as soon as this one is done.
        is_outdated = services.passwords.is_outdated
        with ExitStack() as others:

            def crowd(stored):
                while services.passwords._admitted.acquire(blocking=False):
                    others.callback(services.passwords._admitted.release)
                return is_outdated(stored)

            monkeypatch.setattr(services.passwords, "is_outdated", crowd)

            assert sign_in().session is not None

        assert services.users.credentials(EMAIL).password_hash == outdated


class TestChangePassword:
    def change(self, services, token, current=PASSWORD, new=NEW):
        principal = services.authentication.identify(token)
        return services.authentication.change_password(principal, current, new, ORIGIN)

    def test_sets_the_new_password_and_ends_the_other_sessions(self, services, ravi, sign_in):
        token, other = sign_in().session.token, sign_in().session.token

        assert self.change(services, token)

        identified = [services.authentication.identify(one) for one in (token, other)]
        assert [one is not None for one in identified] == [True, False]
        assert [sign_in(password=one).session is not None for one in (PASSWORD, NEW)] == [False, True]

    def test_changes_nothing_for_a_wrong_current_password(self, services, ravi, sign_in, stored):
        token = sign_in().session.token
        before = stored()

        assert not self.change(services, token, current=NEW, new="nine lamps by the ghat")

        assert stored() == before

    def test_does_not_undo_a_change_that_is_made_while_it_verifies(self, services, ravi, sign_in):
        token = sign_in().session.token
        with services.passwords._turn(), services.passwords._turn(), ThreadPoolExecutor() as threads:
            change = threads.submit(self.change, services, token)
            while services.passwords._admitted._value > 1:  # until it has read the hash and waits for its turn
                threading.Event().wait(0.01)
            services.users.set_password(ravi.id, PasswordHasher(memory_cost=1024, time_cost=2).hash("of an operator"))
            services.passwords._running.release()
            changed = change.result()
            services.passwords._running.acquire()

        assert not changed
        assert sign_in(password="of an operator").session is not None

    def test_refuses_a_common_new_password(self, services, ravi, sign_in):
        token = sign_in().session.token

        with pytest.raises(ValidationError):
            self.change(services, token, new="password1234")
