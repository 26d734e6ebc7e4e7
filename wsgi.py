"""The entry point for Gunicorn (`wsgi:app`) and for `flask`."""

import sys

from calyapp.config import ConfigurationError

try:
    from calyapp.app import application  # also reads the environment, for the metrics folder

    app = application()
except ConfigurationError as error:
    sys.exit(str(error))
