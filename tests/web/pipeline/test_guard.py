from base64 import b64encode
from dataclasses import replace
from uuid import uuid4

import pytest
from flask import Flask, g

from calyapp.access.principal import Role
from calyapp.app import create_app
from calyapp.config import Settings, WebhookAuth
from calyapp.web.pipeline import guard
from calyapp.web.pipeline.guard import Access, GuardedRule

UNTRUSTED = {"REMOTE_ADDR": "203.0.113.9"}
URL = "/webhooks/exotel/call-end"


@pytest.fixture
def settings(database_url):
    environment = {"APP_ENV": "testing", "DATABASE_URL": database_url, "WEBHOOK_AUTH": "required"}
    return Settings.from_env(environment)


@pytest.fixture
def ask(client):
    """The status of a delivery with this query and this Basic login."""

    def send(query: str = "", login: str | None = None) -> int:
        headers = {"Authorization": "Basic " + b64encode(login.encode()).decode()} if login else {}
        return client.post(f"{URL}?{query}", data={"CallSid": "s1"}, headers=headers).status_code

    return send


class TestWebhookKey:
    def test_identifies_its_client_in_the_url(self, ask, tenant):
        assert ask(f"key={tenant.key}") == 200

    def test_identifies_its_client_as_the_password_of_http_basic(self, ask, tenant):
        assert ask(login=f"exotel:{tenant.key}") == 200

    def test_may_be_the_same_in_both_places(self, ask, tenant):
        assert ask(f"key={tenant.key}", login=f"x:{tenant.key}") == 200

    def test_is_required(self, ask, tenant):
        assert ask() == 401

    @pytest.mark.parametrize("spoil", [lambda k: k[:-1], lambda k: k + "A", lambda k: "", lambda k: "ключ", str.lower])
    def test_is_refused_if_wrong(self, ask, tenant, spoil):
        assert ask(f"key={spoil(tenant.key)}") == 401
        assert ask(login=f"x:{spoil(tenant.key)}") == 401

    def test_is_refused_if_it_is_repeated_in_the_url(self, ask, tenant):
        assert ask(f"key={tenant.key}&key={tenant.key}") == 401

    def test_is_refused_if_url_and_header_differ(self, ask, app, tenant):
        other = app.extensions["caly"].webhook_keys.mint(uuid4(), 1)

        assert ask(f"key={tenant.key}", login=f"x:{other}") == 401
        assert ask("key=", login=f"x:{tenant.key}") == 401

    def test_of_an_unknown_client_is_refused(self, ask, app, tenant):
        assert ask("key=" + app.extensions["caly"].webhook_keys.mint(uuid4(), 1)) == 401

    def test_of_the_next_version_works_beside_the_old_one_until_that_is_retired(self, ask, app, tenant):
        parts = app.extensions["caly"]
        assert ask(f"key={tenant.key}") == 200
        parts.clients.rotate_key(tenant.id)
        renewed = parts.webhook_keys.mint(tenant.id, 2)

        beside = ask(f"key={renewed}"), ask(f"key={tenant.key}")
        parts.clients.retire_keys(tenant.id)
        parts.directory.refresh()
        retired = ask(f"key={renewed}"), ask(f"key={tenant.key}")

        assert (beside, retired) == ((200, 200), (200, 401))

    def test_of_a_disabled_client_is_refused(self, ask, app, tenant):
        app.extensions["caly"].clients.disable(tenant.id)

        assert ask(f"key={tenant.key}") == 401

    def test_of_a_disabled_client_is_refused_with_that_reason(self, client, app, tenant):
        parts = app.extensions["caly"]
        parts.clients.disable(tenant.id)

        answer = client.post(f"{URL}?key={tenant.key}", data={"CallSid": "s1"})
        parts.clients.enable(tenant.id)
        parts.directory.refresh()
        enabled = client.post(f"{URL}?key={tenant.key}", data={"CallSid": "s1"})

        assert answer.status_code == 401
        assert answer.get_json()["error"]["message"].startswith("The client is disabled: `flask caly clients enable")
        assert enabled.status_code == 200

    @pytest.mark.parametrize("broken", ["Basic ####", "Basic", "basic dTr/", "Basic dTp4, Basic dTp5"])
    def test_that_cannot_be_read_is_refused_even_if_none_is_required(self, settings, query, broken):
        application = create_app(replace(settings, webhook_auth=WebhookAuth.OPTIONAL))
        answer = application.test_client().post(URL, data={"CallSid": "s1"}, headers={"Authorization": broken})
        application.extensions["caly"].close()

        assert answer.status_code == 401

    def test_never_appears_in_an_answer(self, client, tenant):
        answer = client.post(f"{URL}?key={tenant.key}x", data={"CallSid": "s1"})

        assert answer.status_code == 401
        assert tenant.key not in answer.text + str(answer.headers)


class TestTrustedNetwork:
    @pytest.mark.parametrize("path", ["/health/detailed", "/health/metrics"])
    @pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("203.0.113.9", 401)])
    def test_may_see_details(self, client, path, address, status):
        assert client.get(path, environ_base={"REMOTE_ADDR": address}).status_code == status

    @pytest.mark.parametrize(("role", "status"), [("admin", 200), ("auditor", 403)])
    def test_is_not_needed_by_an_admin(self, client, user, api_key, role, status):
        headers = [user(role), api_key(role)]

        answers = [client.get("/health/detailed", headers=header, environ_base=UNTRUSTED) for header in headers]

        assert [answer.status_code for answer in answers] == [status, status]


class TestSignedIn:
    @pytest.fixture
    def read(self, app, client):
        """`read(headers)`: the answer of a route for admins and auditors."""
        roles = frozenset({Role.ADMIN, Role.AUDITOR})
        app.add_url_rule("/read", "read", lambda: str(g.principal.role), access=Access.SIGNED_IN, roles=roles)
        return lambda headers: client.get("/read", headers=headers, environ_base=UNTRUSTED)

    @pytest.mark.parametrize(("role", "status"), [("admin", 200), ("auditor", 200), ("client", 403)])
    def test_admits_the_roles_of_its_route(self, read, user, api_key, tenant, role, status):
        client_id = tenant.id if role == "client" else None

        answers = [read(user(role, client_id)), read(api_key(role, client_id))]

        assert [answer.status_code for answer in answers] == [status, status]

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Basic dTpw", "cak_x", "Bearer x", "Bearer a b", "Bearer ключ", "Token x"]
    )
    def test_refuses_an_invalid_header_and_says_what_to_send(self, read, header):
        answer = read({"Authorization": header.encode().decode("latin-1")})

        assert (answer.status_code, answer.json["error"]["code"]) == (401, "AUTHENTICATION_ERROR")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_refuses_two_headers_even_if_both_are_valid(self, read, api_key):
        header = api_key("admin")["Authorization"]

        assert read([("Authorization", header), ("Authorization", header)]).status_code == 401

    def test_accepts_the_scheme_in_any_case(self, read, api_key):
        assert read({"Authorization": api_key("admin")["Authorization"].replace("Bearer", "bearer")}).status_code == 200

    def test_does_not_accept_a_webhook_key(self, read, tenant):
        assert read({"Authorization": f"Bearer {tenant.key}"}).status_code == 401

    def test_is_audited_once_a_second_for_each_network(self, client, query):
        for n in range(5):
            client.get("/health/detailed", environ_overrides={"REMOTE_ADDR": f"2001:db8::{n:x}"})

        assert query("SELECT count(*) FROM audit_logs WHERE event_type = 'ACCESS_DENIED'") == [(1,)]

    def test_is_audited_with_the_principal(self, read, api_key, tenant, query):
        token = api_key("client", tenant.id)["Authorization"]
        read({"Authorization": token})
        read({"Authorization": "Bearer x"})

        entries = query(
            "SELECT client_id::text, resource_id, host(ip_address), metadata -> 'principal' ->> 'role', "
            "metadata ->> 'code' FROM audit_logs WHERE event_type = 'ACCESS_DENIED' ORDER BY created_at, id"
        )
        assert entries == [
            (str(tenant.id), "/read", "203.0.113.9", "client", "AUTHORIZATION_ERROR"),
            (None, "/read", "203.0.113.9", None, "AUTHENTICATION_ERROR"),
        ]
        assert token.partition(" ")[2] not in str(query("SELECT a::text FROM audit_logs a"))


class TestVerify:
    def test_refuses_a_route_without_access(self):
        app = Flask("careless")
        app.url_rule_class = GuardedRule
        app.add_url_rule("/closed", "closed", lambda: "", access=Access.PUBLIC)
        app.add_url_rule("/open", "open", lambda: "")

        with pytest.raises(LookupError, match=r"/open, /static"):
            guard.verify(app)

    def test_accepts_the_whole_application(self, settings):
        application = create_app(settings)

        assert {rule.access for rule in application.url_map.iter_rules()} == set(Access)
        application.extensions["caly"].close()
