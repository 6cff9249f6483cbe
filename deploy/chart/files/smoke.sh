#!/bin/sh
# The contract's smoke test, against one version by itself: ready, a save and its greeting, a
# refusal, and the counters. It saves one user, SmokeTest. Needs curl.
#
#   HELLO_URL=http://hello-v2 smoke.sh
#
# From the environment:
#   HELLO_URL            where the version answers, without a path
#   SMOKE_WAIT           seconds that it has to become ready (120)
set -eu

: "${HELLO_URL:?names the version under test}"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

fail() {
    echo "smoke.sh: $1" >&2
    [ ! -s "$answer" ] || cat "$answer" >&2
    exit 1
}

# request STATUS PATH [curl's options]: the answer is in $answer
request() {
    wanted=$1 path=$2
    shift 2
    status=$(curl --silent --show-error --max-time 10 --output "$answer" \
        --write-out '%{http_code}' "$@" "$HELLO_URL$path") || fail "$path has no answer"
    [ "$status" = "$wanted" ] || fail "$path is $status, not $wanted"
}

put() {
    request "$1" /hello/SmokeTest --request PUT --header 'content-type: application/json' \
        --data "$2"
}

left=${SMOKE_WAIT:-120}
until [ "$(curl --silent --max-time 5 --output "$answer" --write-out '%{http_code}' \
    "$HELLO_URL/readyz")" = 200 ]; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "/readyz is not 200 after ${SMOKE_WAIT:-120} s"
    sleep 1
done

request 200 /livez
put 204 '{"dateOfBirth":"1990-06-20"}'
request 200 /hello/SmokeTest
grep -Eq '^\{"message":"Hello, SmokeTest! (Your birthday is in [0-9]+ day\(s\)|Happy birthday!)"\}$' \
    "$answer" || fail "/hello/SmokeTest is another greeting"
put 400 '{"dateOfBirth":"1990-02-30"}'
request 404 /hello/SmokeTestOfNobody
request 200 /metrics
grep -q '^hello_build_info{' "$answer" || fail "/metrics does not say what was built"
echo "smoke.sh: $HELLO_URL keeps the contract"
