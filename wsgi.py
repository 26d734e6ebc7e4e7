"""The entry point for Gunicorn (`wsgi:app`) and for `flask`."""

import sys

from calyapp.config import ConfigurationError

try:
    from calyapp.app import application  # looks at the environment too, for the folder of the metrics

    app = application()
except ConfigurationError as error:
    sys.exit(str(error))
