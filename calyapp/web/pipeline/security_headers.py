"""Headers that tell a browser how little an answer of ours may do, and that it is nobody else's and not to be kept.

On every answer, errors included. Knows no route: what holds for a page holds for JSON.
"""

from flask import Flask, Response
from flask_talisman import Talisman  # type: ignore[import-untyped]

_ONE_YEAR_SECONDS = 31_536_000

# Nothing at all, but for what a page of ours needs: its own style, its own pictures, and forms that come back to us.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_FEATURES_WITHOUT_USE = (
    *("accelerometer", "autoplay", "browsing-topics", "camera", "clipboard-read", "clipboard-write"),
    *("cross-origin-isolated", "display-capture", "encrypted-media", "fullscreen", "gamepad", "geolocation"),
    *("gyroscope", "hid", "idle-detection", "keyboard-map", "local-fonts", "magnetometer", "microphone", "midi"),
    *("payment", "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "sync-xhr"),
    *("unload", "usb", "web-share", "xr-spatial-tracking"),
)
_PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in _FEATURES_WITHOUT_USE)

_NOT_SET_BY_TALISMAN = {
    "Cache-Control": "no-store",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",  # off: the filter that it switched on was itself a way to attack a page
}

WITHOUT_FLASK = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Permissions-Policy": _PERMISSIONS_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    **_NOT_SET_BY_TALISMAN,
}
"""For answers that never come by here: those to what is no request."""


def install(app: Flask) -> None:
    """Early in the pipeline, so that what later layers refuse has its headers too."""
    Talisman(
        app,
        force_https=False,  # it would send deliveries elsewhere: `https_only` decides that
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
    app.config["SESSION_COOKIE_SECURE"] = True  # Talisman would only do so during a request, and never while debugging
    app.after_request(_add)


def _add(response: Response) -> Response:
    response.headers.update(_NOT_SET_BY_TALISMAN)
    return response
