#!/bin/bash
# One test of xfstests: xfstests.sh FS group/number. Status 0 passed, 77 not run (the reason goes to $reason_file), else
# failed, with the difference to the expected output and the kernel's words on stdout.
source /payload/disks.sh
fs=$1 name=$2
cd /var/lib/xfstests || { echo 'this image has no xfstests'; exit 1; }
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
rm -rf "$RESULT_BASE"
mkdir -p "$RESULT_BASE"
keyctl session - ./check "$name" 2>&1
status=$?
if [[ -s $RESULT_BASE/$name.notrun ]]; then
  head -n 1 "$RESULT_BASE/$name.notrun" >"$reason_file"
  exit 77
fi
if ((status)); then
  for part in out.bad full dmesg; do
    [[ -s $RESULT_BASE/$name.$part ]] || continue
    echo "--- $part"
    tail -n 60 "$RESULT_BASE/$name.$part"
  done
fi
exit $((status != 0))
