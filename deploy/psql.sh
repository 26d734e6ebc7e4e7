#!/bin/sh
# psql on the database of DATABASE_URL.
set -eu
bin=$(python -c 'from calyapp.db import embedded; print(embedded.binaries())')
exec "$bin/psql" "$(echo "$DATABASE_URL" | sed 's/+psycopg2//')" "$@"
