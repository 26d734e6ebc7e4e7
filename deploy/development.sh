#!/bin/sh
# `make run` starts this when the database runs: migrations, the demo client, the server.
set -eu
alembic -c setup.cfg upgrade head
flask caly demo
exec gunicorn wsgi:app
