"""The entry point for Gunicorn (`wsgi:app`) and for `flask`."""

import sys

from calyapp.app import create_app
from calyapp.config import ConfigurationError

try:
    app = create_app()
except ConfigurationError as error:
    sys.exit(str(error))
