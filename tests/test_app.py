import dataclasses
import logging
import sys
from itertools import groupby

import pytest

from calyapp import logs
from calyapp.app import create_app
from calyapp.config import AppEnv, Settings
from calyapp.web import health
from calyapp.web.pipeline import guard
from calyapp.web.pipeline.guard import Access

NOWHERE = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"})
IN_PRODUCTION = dataclasses.replace(NOWHERE, app_env=AppEnv.PRODUCTION)


@pytest.fixture
def app():
    """An application that is created without a database."""
    return create_app(NOWHERE)


def layer(function) -> str:
    """Returns the file in the pipeline that contains the function, or the library that such a file wraps."""
    package, *_, module = function.__module__.split(".")
    return module if package == "calyapp" else package


class TestRoutes:
    def test_all_declare_their_access(self, app):
        assert {type(rule.access) for rule in app.url_map.iter_rules()} == {Access}

    def test_are_refused_by_name_without_access(self, app):
        app.add_url_rule("/open", "open", lambda: "")
        app.add_url_rule("/ajar", "ajar", lambda: "")

        with pytest.raises(LookupError, match=r"^These routes declare no access: /ajar, /open$"):
            guard.verify(app)

    def test_prevent_the_start_of_the_application_without_access(self, monkeypatch):
        with_access = health.blueprint

        def with_an_open_route(*parts):
            routes = with_access(*parts)
            routes.add_url_rule("/open", "open", lambda: "")
            return routes

        monkeypatch.setattr(health, "blueprint", with_an_open_route)

        with pytest.raises(LookupError, match="/health/open"):
            create_app(NOWHERE)

    def test_do_not_match_a_doubled_slash(self, app):
        answer = app.test_client().get("/health//live")

        assert answer.status_code == 404


class TestPipeline:
    def test_runs_in_the_documented_order(self, app):
        layers = [layer(function) for function in create_app(IN_PRODUCTION).before_request_funcs[None]]

        assert [name for name, _ in groupby(layers)] == [
            "request_id",
            "flask_talisman",  # security_headers
            "access_log",
            "https_only",
            "flask_limiter",
            "guard",
            "rate_limits",
            "guard",
            "body_limit",
            "anomalies",
        ]

    def test_begins_with_the_proxy_before_flask_reads_a_header(self, app):
        assert type(app.wsgi_app).__module__ == "calyapp.web.pipeline.proxy"


class TestJson:
    def test_keeps_the_order_of_members_and_does_not_escape_hindi(self, app):
        with app.app_context():
            text = app.json.response({"zeta": "नमस्ते", "alpha": {"b": 1, "a": 2}}).get_data(as_text=True)

        assert text.strip() == '{"zeta":"नमस्ते","alpha":{"b":1,"a":2}}'


def test_the_log_is_json_with_the_level_from_the_settings():
    app_settings = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly", "LOG_LEVEL": "warn"}
    root = logging.getLogger()
    level = root.level

    try:
        create_app(Settings.from_env(app_settings))

        assert root.level == logging.WARNING
        assert [type(handler.formatter) for handler in root.handlers if isinstance(handler, logs.StderrHandler)] == [
            logs.JsonFormatter
        ]
    finally:
        root.setLevel(level)


class TestLogs:
    @pytest.mark.parametrize(
        ("app_env", "is_terminal", "formatter"),
        [
            (AppEnv.DEVELOPMENT, True, logs.TerminalFormatter),
            (AppEnv.DEVELOPMENT, False, logs.JsonFormatter),
            (AppEnv.TESTING, True, logs.JsonFormatter),
            (AppEnv.PRODUCTION, True, logs.JsonFormatter),
        ],
    )
    def test_are_plain_text_on_a_terminal_in_development_and_otherwise_json(
        self, monkeypatch, app_env, is_terminal, formatter
    ):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)

        create_app(dataclasses.replace(NOWHERE, app_env=app_env))

        (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, logs.StderrHandler)]
        assert type(handler.formatter) is formatter
