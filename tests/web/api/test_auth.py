"""The routes under `/api/auth`, in this process."""

import pytest

from calyapp import metrics
from calyapp.access.principal import Role
from calyapp.app import create_app
from calyapp.config import Settings

EMAIL, PASSWORD, NEW = "ravi@example.com", "seven lamps by the ghat", "eight lamps by the ghat"


@pytest.fixture
def settings(database_url):
    return Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": database_url, "RATELIMIT_LOGIN": "20/15 minutes"})


@pytest.fixture
def ravi(app):
    parts = app.extensions["caly"]
    return parts.users.add(EMAIL, parts.passwords.hash(PASSWORD), Role.ADMIN)


@pytest.fixture
def login(client):
    """`login(…)`: the answer to a login."""

    def attempt(email=EMAIL, password=PASSWORD, address="203.0.113.9"):
        sent = {"email": email, "password": password}
        return client.post("/api/auth/login", json=sent, environ_base={"REMOTE_ADDR": address})

    return attempt


@pytest.fixture
def bearer(login):
    """`bearer()`: the header of a new session of Ravi's."""
    return lambda: {"Authorization": f"Bearer {login().json['token']}"}


@pytest.fixture
def status(client):
    """`status(header)`: the status of `/api/auth/me`."""
    return lambda header: client.get("/api/auth/me", headers=header).status_code


@pytest.fixture
def audit_entries(query):
    """`audit_entries(event)`: (status, user, address, metadata) of each entry of this type."""
    return lambda event: query(
        "SELECT status, user_id::text, host(ip_address), metadata FROM audit_logs WHERE event_type = %s "
        "ORDER BY created_at, id",
        event,
    )


class TestLogin:
    def test_returns_a_token_and_the_user(self, login, ravi, status):
        answer = login()

        assert set(answer.json) == {"token", "expiresAt", "user"}
        assert answer.json["user"] == {"id": str(ravi.id), "email": EMAIL, "role": "admin", "clientId": None}
        assert status({"Authorization": f"Bearer {answer.json['token']}"}) == 200

    def test_accepts_the_address_in_any_case(self, login, ravi):
        assert login("  Ravi@Example.COM ").status_code == 200

    def test_gives_the_same_answer_to_an_unknown_user_a_wrong_password_and_a_suspended_user(self, login, ravi, app):
        before = metrics.PASSWORD_VERIFICATIONS._value.get()
        refusals = [login("nobody@example.com"), login(password=NEW)]
        app.extensions["caly"].users.suspend(ravi.id)
        refusals.append(login())

        assert {(answer.status_code, answer.json["error"]["message"]) for answer in refusals} == {
            (401, "The e-mail address or the password is wrong.")
        }
        assert {frozenset(dict(answer.headers)) for answer in refusals} == {frozenset(dict(refusals[0].headers))}
        assert metrics.PASSWORD_VERIFICATIONS._value.get() - before == 3

    @pytest.mark.parametrize(
        ("sent", "named"),
        [
            ({"json": {}}, {"email", "password"}),
            ({"json": {"email": "x", "password": "y"}}, {"email"}),
            ({"json": {"email": EMAIL, "password": PASSWORD, "role": "admin"}}, {"role"}),
            ({"json": []}, {""}),
            ({"data": {"email": EMAIL, "password": PASSWORD}}, set()),
            ({"data": "{", "content_type": "application/json"}, set()),
            ({"data": b"\xff", "content_type": "application/json"}, set()),
            ({"data": "[" * 100_000, "content_type": "application/json"}, set()),
        ],
    )
    def test_refuses_an_invalid_body_and_names_the_fields(self, client, query, sent, named):
        answer = client.post("/api/auth/login", **sent)

        assert (answer.status_code, answer.json["error"]["code"]) == (400, "VALIDATION_ERROR")
        assert set(answer.json["error"].get("details", {})) == named
        assert query("SELECT count(*) FROM audit_logs") == [(0,)]

    def test_is_audited_without_the_password_or_the_whole_address(self, login, ravi, audit_entries, query):
        login()
        login(password=NEW)

        assert [row[:3] for row in audit_entries("LOGIN_SUCCESS")] == [("success", str(ravi.id), "203.0.113.9")]
        ((status, user_id, address, metadata),) = audit_entries("LOGIN_FAILURE")
        assert (status, user_id, address) == ("failure", str(ravi.id), "203.0.113.9")
        assert metadata["email"] == "r***@example.com"
        assert not [secret for secret in (PASSWORD, NEW) if secret in str(query("SELECT a::text FROM audit_logs a"))]

    def test_failures_are_audited_for_the_client_of_the_account(self, app, login, tenant, query):
        parts = app.extensions["caly"]
        parts.users.add(EMAIL, parts.passwords.hash(PASSWORD), Role.AUDITOR, tenant.id)

        login(password=NEW)
        login("nobody@example.com")

        assert query(
            "SELECT client_id::text FROM audit_logs WHERE event_type = 'LOGIN_FAILURE' ORDER BY created_at, id"
        ) == [(str(tenant.id),), (None,)]

    def test_failures_are_audited_once_a_second_for_each_address_and_account(self, login, ravi, audit_entries, app):
        for _ in range(3):
            login(password=NEW)
        app.extensions["caly"].throttled_audit_log.close()

        assert sum(metadata["count"] for *_, metadata in audit_entries("LOGIN_FAILURE")) == 3
        assert len(audit_entries("LOGIN_FAILURE")) < 3


class TestLimits:
    def test_of_an_account_apply_to_all_addresses_together(self, login, ravi):
        statuses = [login(password=NEW, address=f"203.0.113.{n % 5}").status_code for n in range(31)]

        assert statuses == [401] * 30 + [429]
        assert login(address="198.51.100.7").status_code == 429

    def test_of_an_account_say_when_they_end(self, login, ravi):
        for n in range(30):
            login(password=NEW, address=f"203.0.113.{n % 5}")

        refused = login(address="198.51.100.7")

        assert 0 < int(refused.headers["Retry-After"]) <= 900

    def test_of_an_account_are_the_same_for_one_that_does_not_exist(self, login, ravi):
        statuses = [login("nobody@example.com", address=f"203.0.113.{n % 5}").status_code for n in range(31)]

        assert statuses == [401] * 30 + [429]
        assert login(address="198.51.100.7").status_code == 200

    def test_of_an_address_apply_to_all_accounts_together(self, login, ravi):
        statuses = [login(f"user{n}@example.com").status_code for n in range(21)]

        assert statuses == [401] * 20 + [429]
        assert login(address="198.51.100.7").status_code == 200

    @pytest.mark.parametrize(
        ("method", "content_type", "status"),
        [("OPTIONS", None, 405), ("HEAD", None, 405), ("GET", None, 405)]
        + [("POST", content_type, 400) for content_type in (None, "text/plain", "application/x-www-form-urlencoded")],
    )
    def test_of_an_address_do_not_count_what_another_origin_can_send(
        self, client, login, ravi, method, content_type, status
    ):
        headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        sent = {"data": b"{}", "content_type": content_type} if method == "POST" else {}
        peer = {"REMOTE_ADDR": "203.0.113.9"}

        foreign = [
            client.open("/api/auth/login", method=method, headers=headers, environ_base=peer, **sent) for _ in range(21)
        ]

        assert {answer.status_code for answer in foreign} == {status}
        assert login(address="203.0.113.9").status_code == 200

    def test_of_an_account_do_not_end_sessions(self, login, ravi, bearer, status):
        header = bearer()
        for n in range(31):
            login(password=NEW, address=f"203.0.113.{n % 5}")

        assert status(header) == 200

    def test_of_other_routes_are_by_principal(self, database_url, query):
        variables = {"APP_ENV": "testing", "DATABASE_URL": database_url, "RATELIMIT_API": "2/15 minutes"}
        app = create_app(Settings.from_env(variables))
        keys = [app.extensions["caly"].api_keys.create(name, Role.ADMIN)[1] for name in "AB"]

        statuses = [
            app.test_client().get("/api/auth/me", headers={"Authorization": f"Bearer {key}"}).status_code
            for key in (*keys, *keys, *keys)
        ]

        app.extensions["caly"].close()
        assert statuses == [200, 200, 200, 200, 429, 429]


class TestLogout:
    def test_ends_only_this_session(self, client, ravi, bearer, status, audit_entries):
        header, other = bearer(), bearer()

        assert client.post("/api/auth/logout", headers=header).json == {"success": True}

        assert (status(header), status(other)) == (401, 200)
        assert [row[1] for row in audit_entries("LOGOUT")] == [str(ravi.id)]

    def test_is_refused_for_an_api_key(self, client, api_key):
        assert client.post("/api/auth/logout", headers=api_key("admin")).status_code == 403


class TestMe:
    def test_describes_a_user(self, client, user, tenant):
        answer = client.get("/api/auth/me", headers=user("client", tenant.id)).json

        assert (answer["kind"], answer["role"], answer["clientId"]) == ("user", "client", str(tenant.id))
        assert set(answer) == {"kind", "id", "email", "role", "clientId"}

    def test_describes_an_api_key(self, client, api_key):
        answer = client.get("/api/auth/me", headers=api_key("auditor")).json

        assert (answer["kind"], answer["name"], answer["role"]) == ("api key", "A program", "auditor")


class TestPassword:
    @pytest.fixture
    def change(self, client):
        def send(header, current=PASSWORD, new=NEW):
            sent = {"currentPassword": current, "newPassword": new}
            return client.post("/api/auth/password", headers=header, json=sent)

        return send

    def test_ends_all_other_sessions(self, ravi, bearer, change, status, login):
        header, other = bearer(), bearer()

        assert change(header).json == {"success": True}

        assert (status(header), status(other)) == (200, 401)
        assert (login().status_code, login(password=NEW).status_code) == (401, 200)

    @pytest.mark.parametrize(
        ("current", "new", "field"),
        [
            ("not the password", NEW, "currentPassword"),
            (PASSWORD, "too short", "newPassword"),
            (PASSWORD, "password1234", "newPassword"),
            (PASSWORD, PASSWORD, "newPassword"),
        ],
    )
    def test_refuses_an_invalid_change_and_names_the_error(self, ravi, bearer, change, login, current, new, field):
        refused = change(bearer(), current, new)

        assert (refused.status_code, set(refused.json["error"]["details"])) == (400, {field})
        assert login().status_code == 200

    def test_cannot_be_guessed_with_a_stolen_session(self, ravi, bearer, change):
        header = bearer()

        statuses = [change(header, current=f"guess {n}").status_code for n in range(31)]

        assert statuses == [400] * 30 + [429]

    def test_is_refused_for_an_api_key(self, api_key, change):
        assert change(api_key("admin")).status_code == 403


class TestRevocation:
    @pytest.mark.parametrize(
        "end",
        [
            lambda parts, user_id: parts.users.suspend(user_id),
            lambda parts, user_id: parts.users.delete(user_id),
            lambda parts, user_id: parts.users.revoke_sessions(user_id),
            lambda parts, user_id: parts.users.set_password(user_id, "hash"),
        ],
        ids=["suspended", "deleted", "revoked", "new password"],
    )
    def test_takes_effect_immediately(self, app, ravi, bearer, status, end):
        header = bearer()
        before = status(header)

        end(app.extensions["caly"], ravi.id)

        assert (before, status(header)) == (200, 401)

    def test_of_a_client_takes_effect_immediately(self, app, user, api_key, tenant, status):
        theirs = [user("client", tenant.id), user("auditor", tenant.id), api_key("client", tenant.id)]
        others = [user("auditor"), api_key("admin")]
        before = [status(header) for header in theirs]

        app.extensions["caly"].clients.disable(tenant.id)

        assert (before, [status(header) for header in theirs]) == ([200] * 3, [401] * 3)
        assert [status(header) for header in others] == [200, 200]

    def test_of_a_client_refuses_sign_in_of_its_users(self, app, login, tenant):
        parts = app.extensions["caly"]
        parts.users.add(EMAIL, parts.passwords.hash(PASSWORD), Role.CLIENT, tenant.id)
        before = login().status_code

        parts.clients.disable(tenant.id)

        assert (before, login().status_code) == (200, 401)

    def test_of_a_key_takes_effect_immediately(self, app, api_key, status):
        header = api_key("admin")
        before = status(header)

        (key,) = app.extensions["caly"].api_keys.all()
        app.extensions["caly"].api_keys.revoke(key.id)

        assert (before, status(header)) == (200, 401)
