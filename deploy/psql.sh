#!/bin/sh
# psql on the database that `make run` uses, while it runs: the embedded one, or that of DATABASE_URL.
set -eu
bin=$(python -c 'from calyapp.db import embedded; print(embedded.binaries())')
url=${DATABASE_URL:-$(python -c 'from pathlib import Path; from calyapp.db import embedded; print(embedded.url(Path("var/postgres")))')}
exec "$bin/psql" "$(echo "$url" | sed 's/+psycopg2//')" "$@"
