"""Builds the application. Reads as a table of contents."""

import os
import sys

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from calyapp import cli, logs, services
from calyapp.config import AppEnv, ConfigurationError, Settings
from calyapp.web import health, openapi, webhooks
from calyapp.web.api import audit, auth, calls
from calyapp.web.pipeline import (
    access_log,
    anomalies,
    body_limit,
    error_responses,
    guard,
    https_only,
    proxy,
    rate_limits,
    request_id,
    security_headers,
)


class _Json(DefaultJSONProvider):
    """JSON that people can read: members in the written order, Hindi unescaped."""

    ensure_ascii = False
    sort_keys = False


def application() -> Flask:
    """Returns the WSGI application. Without usable settings, it only shows help, for `flask caly … --help`.

    Raises `ConfigurationError` for everything else.
    """
    try:
        return create_app()
    except ConfigurationError as error:
        return cli.without_settings(error)


def create_app(settings: Settings | None = None) -> Flask:
    """Returns the WSGI application. Raises `ConfigurationError`; `LookupError` if a route has no access policy."""
    settings = settings or Settings.from_env(os.environ)
    on_terminal = settings.app_env is AppEnv.DEVELOPMENT and sys.stderr.isatty()
    logs.configure(settings.log_level, for_people=on_terminal)
    parts = services.build(settings)
    app = Flask("calyapp", static_folder=None)
    app.extensions["caly"] = parts
    app.json = _Json(app)
    app.url_map.merge_slashes = False  # webhooks must not redirect because of a double slash
    # There is no CORS: a preflight request gets 405 before any limit counts it.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    # The pipeline, in the order in which a request meets it.
    proxy.install(app, settings.trusted_proxies)
    request_id.install(app)
    security_headers.install(app)
    access_log.install(app)
    https_only.install(app, settings)
    counter = rate_limits.counter(app, settings)
    guard.install(app, parts, counter)
    rate_limits.install(app, parts, counter)
    guard.enforce(app, parts)
    body_limit.install(app)
    anomalies.install(app, parts)
    error_responses.install(app, parts)

    app.register_blueprint(webhooks.blueprint(parts))
    app.register_blueprint(auth.blueprint(parts, counter))
    app.register_blueprint(calls.blueprint(parts))
    app.register_blueprint(audit.blueprint(parts))
    app.register_blueprint(health.blueprint(parts, counter))
    app.register_blueprint(openapi.blueprint(parts))
    cli.install(app)

    guard.verify(app)
    return app
