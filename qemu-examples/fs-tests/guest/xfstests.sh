#!/bin/bash
# Tests of xfstests with one ./check, which takes seconds to come up: xfstests.sh FS group/number…. How each of them ended
# is asked by the agent, through xfstests_status below; bin/logger stops before each.
source /payload/disks.sh

# xfstests_status NAME CHECK: 0 passed, 77 not run (the reason goes to $reason_file), else failed, with what was kept of it
# on stdout. CHECK is the process of ./check: it lists what passed there, and in the results at its end.
xfstests_status() {
  local kept=/tmp/results/$1 part
  if [[ -s $kept.notrun ]]; then
    head -n 1 "$kept.notrun" >"$reason_file"
    return 77
  fi
  grep -qs "^$1 " "/tmp/$2.time" /tmp/results/check.time && return 0
  # What ./check says of it in $output: the first line that should not be there, or what its own checks found.
  grep -m 1 -E '^    \+[^+]|^_check_|inconsistent' "$output" | sed 's/^ *+//' >"$reason_file"
  for part in out.bad full dmesg; do
    [[ -s $kept.$part ]] || continue
    echo "--- $part"
    tail -n 60 "$kept.$part"
  done
  return 1
}
[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0

fs=$1
shift
trap 'echo end >/tmp/gate-begin' EXIT
cd /var/lib/xfstests || { echo 'this image has no xfstests'; exit 1; }
export PATH=/payload/bin:$PATH
export FSTYP=$fs TEST_DIR=/mnt/test SCRATCH_MNT=/mnt/scratch RESULT_BASE=/tmp/results HOST_OPTIONS=/dev/null/none
TEST_DEV=$(disk_of test)
LOGWRITES_DEV=$(disk_of logwrites)
export TEST_DEV LOGWRITES_DEV
scratch=$(disk_of scratch)
# btrfs takes several disks; the scratch disk is then the pool's first.
if [[ $fs == btrfs ]]; then
  export SCRATCH_DEV_POOL="$scratch $(disk_of pool1) $(disk_of pool2) $(disk_of pool3)"
else
  export SCRATCH_DEV=$scratch
fi
# What the user set: MKFS_OPTIONS and the like.
source /payload/settings.sh
# A killed ./check leaves its files.
rm -rf "$RESULT_BASE" /tmp/[0-9]*.*
mkdir -p "$RESULT_BASE"
keyctl session - ./check --exact-order "$@" 2>&1
