#!/bin/sh
# psql on the database of DATABASE_URL.
set -eu
bin=$(python -c 'from calyapp.embedded import postgres_programs; print(postgres_programs.binaries())')
exec "$bin/psql" "$(echo "$DATABASE_URL" | sed 's/+psycopg2//')" "$@"
