#!/bin/sh
# Applies the migrations, and gives the role `hello` its password. Both can be done again at any
# time. Needs psql 15 or later.
#
# From the environment:
#   MIGRATIONS           the folder of the SQL files (/migrations)
#   SERVICE_PASSWORD     the password of the role `hello`
#   PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSSLMODE     libpq's own; a role that owns the
#                        database and may make roles
set -eu

: "${SERVICE_PASSWORD:?is the password of the role hello}"

apply() {
    psql --no-psqlrc --no-password --quiet --output=/dev/null --set ON_ERROR_STOP=1 \
        --single-transaction "$@"
}

for file in "${MIGRATIONS:-/migrations}"/*.sql; do
    apply --file "$file"
    echo "migrate.sh: applied ${file##*/}"
done

# Through psql's own variable, which it quotes: a password in an argument is there for all to see.
# The server must not log it either.
apply <<'SQL'
\getenv password SERVICE_PASSWORD
SET LOCAL log_min_error_statement = panic;
ALTER ROLE hello PASSWORD :'password';
SQL
echo "migrate.sh: the role hello has its password"
