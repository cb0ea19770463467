#!/bin/sh
# For a CI that runs shell commands on a Debian machine (12 or 13, as root or with passwordless sudo): the packaged suite and,
# with XFSTESTS=DIR, the integrity list of xfstests, on KERNEL=bzImage when that is given. RESULTS has a junit.xml for each.
set -eu
cd "$(dirname "$0")/../.."
results=${RESULTS:-fs-tests-results}
kernel=${KERNEL:+--kernel=$KERNEL}
npm ci --no-audit --no-fund
status=0
# shellcheck disable=SC2086  # an option, or nothing
npm run --silent fs-tests -- $kernel --suite=packaged --output="$results/packaged" || status=$?
if [ "$status" -lt 2 ] && [ -n "${XFSTESTS:-}" ]; then
  # shellcheck disable=SC2086
  npm run --silent fs-tests -- $kernel --suite=xfstests --xfstests-dir="$XFSTESTS" \
    --output="$results/xfstests" || status=$?
fi
# 0 nothing failed, 1 a test failed, 2 and 3 the tests could not be run.
exit "$status"
