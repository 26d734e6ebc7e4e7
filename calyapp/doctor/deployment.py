"""All checks of a deployment, in the order in which an operator would correct what they find."""

from calyapp.config import AppEnv
from calyapp.doctor import configuration, database, front, host, limits, stream, upkeep
from calyapp.doctor.diagnosis import NamedCheck
from calyapp.services import Services


def all_checks(services: Services, url: str | None, http_url: str | None) -> list[NamedCheck]:
    """Returns all checks. `url` is where Exotel reaches the service, `http_url` the same host over plain HTTP."""
    settings = services.settings
    return [
        *configuration.checks(settings),
        *database.checks(settings, services.database.ingest),
        *limits.checks(settings),
        *stream.checks(settings),
        *host.checks(settings, services.journal),
        *upkeep.checks(services),
        *front.checks(url, http_url, in_production=settings.app_env is AppEnv.PRODUCTION, workers=settings.workers),
    ]
