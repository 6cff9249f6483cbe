#!/bin/sh
# Dumps the database into an S3 bucket: the objects NAME.dump (pg_dump's custom format) and then
# NAME.dump.sha256. A dump without its checksum is not whole, and restore.sh does not see it.
#
#   backup.sh            both steps
#   backup.sh dump       into BACKUP_FOLDER: needs pg_dump and the database
#   backup.sh upload     out of it: needs the AWS CLI and the bucket
#
# Two steps, so that two official images do it, postgres and amazon/aws-cli, and neither container
# has the other's secrets. Both run as one user: what is written is for its owner alone. The
# bucket's lifecycle deletes what is old, not this: who writes backups need not delete them.
#
# From the environment:
#   BACKUP_BUCKET        the bucket
#   BACKUP_PREFIX        put before each name, such as `production/` (nothing)
#   BACKUP_FOLDER        where the dump is in between (/backup)
#   PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSSLMODE     libpq's own; a role that reads all
#   AWS_REGION AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY …    the AWS CLI's own; a
#                        pod's role serves as well, and another S3 server has an endpoint
set -eu
umask 077

directory=${BACKUP_FOLDER:-/backup}

fail() {
    echo "backup.sh: $1" >&2
    exit 1
}

dump() {
    : "${PGDATABASE:?names the database}"
    name=hello-$(date -u +%Y%m%dT%H%M%SZ).dump
    rm -f "$directory"/hello-*.dump "$directory"/hello-*.dump.sha256
    pg_dump --format=custom --no-password --lock-wait-timeout=60s --file="$directory/$name" ||
        fail "the database was not dumped"
    # Reads all of it back: what cannot be read here is no backup.
    pg_restore --file=/dev/null "$directory/$name" || fail "the dump cannot be read back"
    (cd "$directory" && sha256sum "$name" >"$name.sha256")
    echo "backup.sh: dumped $name, $(wc -c <"$directory/$name") bytes"
}

upload() {
    : "${BACKUP_BUCKET:?names the bucket}"
    set -- "$directory"/hello-*.dump
    [ $# -eq 1 ] && [ -f "$1" ] || fail "$directory does not hold one dump: run \`backup.sh dump\`"
    name=${1##*/}
    target=s3://$BACKUP_BUCKET/${BACKUP_PREFIX:-}$name
    aws s3 cp --no-progress "$directory/$name" "$target" || fail "$name was not uploaded"
    aws s3 cp --no-progress "$directory/$name.sha256" "$target.sha256" ||
        fail "the checksum of $name was not uploaded"
    echo "backup.sh: uploaded $target"
}

case ${1:-both} in
dump) dump ;;
upload) upload ;;
both)
    dump
    upload
    ;;
*) fail "there is no step \`$1\`: dump or upload" ;;
esac
