#!/bin/sh
# What `make run` starts once it has a database: newest tables, a demo client, the server.
set -eu
alembic -c setup.cfg upgrade head
flask caly demo
exec gunicorn wsgi:app
