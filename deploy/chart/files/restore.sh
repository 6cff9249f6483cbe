#!/bin/sh
# Gives the rows of a backup back to a database that has been migrated and has no users.
#
#   restore.sh                    both steps, for the latest backup
#   restore.sh download [NAME]    into BACKUP_FOLDER: needs the AWS CLI and the bucket
#   restore.sh load               out of it: needs pg_restore, psql and the database
#
# All rows come back or none does. The environment is that of backup.sh; the role has to be the
# one that owns the tables. BACKUP_NAME, such as hello-20261122T030000Z.dump, chooses a backup.
#
# Only rows: the schema, the role `hello` and its time-outs are the migrations' (a dump does not
# have the last two), so apply those first, of the version that made the backup or a later one.
set -eu
umask 077

directory=${BACKUP_FOLDER:-/backup}

fail() {
    echo "restore.sh: $1" >&2
    exit 1
}

download() {
    : "${BACKUP_BUCKET:?names the bucket}"
    source=s3://$BACKUP_BUCKET/${BACKUP_PREFIX:-}
    name=${1:-${BACKUP_NAME:-}}
    if [ -z "$name" ]; then
        objects=$(aws s3 ls "$source") || fail "$source cannot be listed, or is empty"
        # A name is a time, so the last of them is the latest.
        name=$(echo "$objects" | sed -n 's/.* \(hello-[0-9TZ]*\.dump\)\.sha256$/\1/p' | sort | tail -n 1)
        [ -n "$name" ] || fail "there is no whole backup in $source"
    fi
    rm -f "$directory"/hello-*.dump "$directory"/hello-*.dump.sha256
    for object in "$name" "$name.sha256"; do
        aws s3 cp --no-progress "$source$object" "$directory/$object" ||
            fail "$source$object was not downloaded"
    done
    echo "restore.sh: downloaded $name"
}

load() {
    : "${PGDATABASE:?names the database}"
    set -- "$directory"/hello-*.dump
    [ $# -eq 1 ] && [ -f "$1" ] || fail "$directory does not hold one dump: run \`restore.sh download\`"
    name=${1##*/}
    (cd "$directory" && sha256sum -c "$name.sha256" >/dev/null) ||
        fail "$name is not what was backed up: its checksum differs. Nothing was changed"
    users=$(psql --no-psqlrc --no-password --tuples-only --no-align \
        --command='SELECT count(*) FROM users') ||
        fail "the table users cannot be read: apply the migrations first"
    [ "$users" = 0 ] || fail "the database has $users users: restore into an empty one"
    pg_restore --no-password --data-only --single-transaction --exit-on-error \
        --dbname="$PGDATABASE" "$directory/$name" || fail "$name was not restored. Nothing was changed"
    users=$(psql --no-psqlrc --no-password --tuples-only --no-align \
        --command='SELECT count(*) FROM users')
    echo "restore.sh: restored $name, $users users"
}

case ${1:-both} in
download) download "${2:-}" ;;
load) load ;;
both)
    download
    load
    ;;
*) fail "there is no step \`$1\`: download or load" ;;
esac
