#!/bin/sh
# What the entrypoint of the image `postgres` documents of the variables that it takes, when there is
# no database yet. Another command than `postgres` is run as it is.
set -eu

if [ "$1" = postgres ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$PGDATA" /var/run/postgresql
        chown postgres "$PGDATA" /var/run/postgresql
        chmod 700 "$PGDATA"
        exec setpriv --reuid=postgres --regid=999 --clear-groups sh "$0" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        : "${POSTGRES_PASSWORD:?is the password of the superuser}"
        : "${POSTGRES_USER:=postgres}"
        : "${POSTGRES_DB:=$POSTGRES_USER}"
        # As in the image, connections within the container take no password.
        (umask 077 && echo "$POSTGRES_PASSWORD" > /tmp/password)
        initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=trust \
            --encoding=UTF8 --locale=C --no-sync
        rm /tmp/password
        echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
        printf "listen_addresses = '*'\nfsync = off\n" >> "$PGDATA/postgresql.conf"
        if [ "$POSTGRES_DB" != postgres ]; then
            echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single postgres
        fi
    fi
fi
exec "$@"
