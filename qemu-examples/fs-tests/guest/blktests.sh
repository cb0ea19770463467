#!/bin/bash
# One test of blktests on the scratch disk: blktests.sh block group/number. Status 0 passed, 77 not run (the reason goes
# to $reason_file), else failed.
source /payload/disks.sh
cd /opt/blktests || { echo 'this image has no blktests'; exit 1; }
disk=$(disk_of scratch)
blkdiscard -f "$disk"
printf 'TEST_DEVS=(%s)\nDEVICE_ONLY=1\nTIMEOUT=10\n' "$disk" >config
rm -rf results
./check "$2" >/tmp/blktests-output 2>&1
status=$?
cat /tmp/blktests-output
if grep -q '\[not run\]' /tmp/blktests-output; then
  sed -n '/\[not run\]/{n;s/^ *//p;q}' /tmp/blktests-output >"$reason_file"
  exit 77
fi
if ! grep -q '\[passed\]' /tmp/blktests-output && ((status == 0)); then
  echo 'no result from ./check' >"$reason_file"
  exit 1
fi
((status == 0)) && exit 0
for part in results/*/"$2".{out.bad,full,dmesg}; do
  [[ -s $part ]] || continue
  echo "--- $part"
  tail -n 60 "$part"
done
exit 1
