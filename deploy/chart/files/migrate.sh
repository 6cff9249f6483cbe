#!/bin/sh
# Applies the migrations, and gives the role `hello` its password. Both can be done again at any
# time. Needs psql.
#
# From the environment:
#   MIGRATIONS           the directory of the SQL files (/migrations)
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

# psql hashes it (SCRAM) before it sends it, so neither an argument, the network nor the server's log
# has it. It asks twice, on the terminal: setsid takes that away, and then it reads stdin.
said=$(
    printf '%s\n%s\n' "$SERVICE_PASSWORD" "$SERVICE_PASSWORD" |
        setsid psql --no-psqlrc --no-password --quiet --set ON_ERROR_STOP=1 \
            --command '\password hello' 2>&1
) || {
    echo "migrate.sh: the role hello does not get its password: $said" >&2
    exit 1
}
echo "migrate.sh: the role hello has its password"
