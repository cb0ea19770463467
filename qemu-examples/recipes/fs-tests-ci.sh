#!/bin/sh
# For a CI that runs shell commands on a Debian machine (12; 13 is not tried) as root or with passwordless sudo: the packaged suite
# and, with XFSTESTS=DIR, the integrity list of xfstests. RESULTS (fs-tests-results) has a junit.xml for each. By environment,
# with paths from the project's root:
#   KERNEL=bzImage MODULES=DIR   the kernel to test; without MODULES its drivers are built in
#   PACKAGED='…' FURTHER='…'     arguments for the packaged suite, as '--group=quick --fs=ext4', and for both runs
#   NPM_CI='…'                   what installs the dependencies, as 'true' where they are
set -eu
cd "$(dirname "$0")/../.."
results=${RESULTS:-fs-tests-results}
${NPM_CI:-npm ci --no-audit --no-fund}
status=0
# run SUITE ARGUMENT…: into the suite's folder of the results; a status stays when a later run succeeds.
run() {
  suite=$1
  shift
  # shellcheck disable=SC2086  # FURTHER is several
  npm run --silent fs-tests -- ${KERNEL:+"--kernel=$KERNEL"} ${MODULES:+"--modules=$MODULES"} --suite="$suite" \
    --output="$results/$suite" ${FURTHER:-} "$@" || status=$?
}
# shellcheck disable=SC2086
run packaged ${PACKAGED:-}
if [ "$status" -lt 2 ] && [ -n "${XFSTESTS:-}" ]; then
  run xfstests --xfstests-dir="$XFSTESTS"
fi
# 0 nothing failed, 1 a test failed, 2 and 3 the tests could not be run.
exit "$status"
