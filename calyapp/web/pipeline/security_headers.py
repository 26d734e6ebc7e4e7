"""Adds security headers to every answer, errors included: content policy, isolation from other origins, no caching.

The headers are the same for all routes.
"""

from flask import Flask, Response
from flask_talisman import Talisman  # type: ignore[import-untyped]

_ONE_YEAR_SECONDS = 31_536_000

# Allows only what Caly's own pages need: its style sheets, its images, and forms that post to it.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_DISABLED_FEATURES = (
    *("accelerometer", "autoplay", "browsing-topics", "camera", "clipboard-read", "clipboard-write"),
    *("cross-origin-isolated", "display-capture", "encrypted-media", "fullscreen", "gamepad", "geolocation"),
    *("gyroscope", "hid", "idle-detection", "keyboard-map", "local-fonts", "magnetometer", "microphone", "midi"),
    *("payment", "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "sync-xhr"),
    *("unload", "usb", "web-share", "xr-spatial-tracking"),
)
_PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in _DISABLED_FEATURES)

_NOT_SET_BY_TALISMAN = {
    "Cache-Control": "no-store",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",  # disables a filter of old browsers that was itself exploitable
}

WITHOUT_FLASK = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Permissions-Policy": _PERMISSIONS_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    **_NOT_SET_BY_TALISMAN,
}
"""The headers of answers that Flask does not send, such as Gunicorn's to a request that cannot be parsed."""


def install(app: Flask) -> None:
    """Installs the layer early in the pipeline, so that requests that later layers refuse have the headers too."""
    Talisman(
        app,
        force_https=False,  # would redirect deliveries too; `https_only` decides
        content_security_policy=_CONTENT_SECURITY_POLICY,
        permissions_policy=_PERMISSIONS_POLICY,
        frame_options="DENY",
        referrer_policy="no-referrer",
        session_cookie_http_only=True,
        session_cookie_samesite="Lax",
        strict_transport_security_max_age=_ONE_YEAR_SECONDS,
        strict_transport_security_include_subdomains=True,
        strict_transport_security_preload=True,
    )
    app.config["SESSION_COOKIE_SECURE"] = True  # Talisman sets it only during a request, and never in debug mode
    app.after_request(_add)


def _add(response: Response) -> Response:
    response.headers.update(_NOT_SET_BY_TALISMAN)
    return response
