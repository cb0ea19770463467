# shellcheck shell=bash
# The disks of the guest by their role, which is their serial: udev names them /dev/disk/by-id/virtio-ROLE, whatever their
# order. Sourced by the agent and by the suites. Mounts are made under /mnt.
roles=(test scratch logwrites pool1 pool2 pool3)

# disk_of ROLE: the disk's node; fails when it is not there.
disk_of() {
  local disk
  disk=$(readlink -e "/dev/disk/by-id/virtio-$1") && echo "$disk"
}

# make_fs FS DISK: a new file system, whatever was there before.
make_fs() {
  wipefs -qa "$2"
  case $1 in
    ext4) mkfs.ext4 -q -F "$2" ;;
    xfs) mkfs.xfs -q -f "$2" ;;
    btrfs) mkfs.btrfs -q -f "$2" ;;
    block) ;;
    *) echo "no way to make $1" && return 1 ;;
  esac
}

# check_fs FS DISK: the file system's own check of what is on an unmounted disk.
check_fs() {
  case $1 in
    ext4) e2fsck -fn "$2" ;;
    xfs) xfs_repair -n "$2" ;;
    btrfs) btrfs check --readonly "$2" ;;
  esac
}

# prepare_disks FS ROLE…: the disk that keeps its file system over tests gets one; the others are emptied. Status 77: this
# kernel has no FS.
prepare_disks() {
  local fs=$1 role disk
  umount -q /mnt/test /mnt/scratch
  modprobe -qa loop "$fs"
  if [[ $fs != block ]] && ! grep -qw "$fs" /proc/filesystems; then
    echo "this kernel has no $fs"
    return 77
  fi
  for role in "${@:2}"; do
    disk=$(disk_of "$role") || { echo "the guest has no disk $role"; return 1; }
    blkdiscard -f "$disk" 2>/dev/null
  done
  make_fs "$fs" "$(disk_of test)"
}

# kernel_complains: what the kernel has said since the test began that no test may pass with. Not of a pipe: grep ends at the
# third line, and with pipefail the SIGPIPE that ends dmesg would be the status of the whole.
kernel_complains() {
  grep -m 3 -E 'I/O error|BUG:|WARNING:|Oops|corrupt' < <(dmesg)
}

# ask_host QUESTION…: one line to the host, one line back. "allocated ROLE": KiB that the disk's image takes there.
ask_host() {
  local answer
  printf '@ask %s\n' "$*" >&3
  IFS= read -r -t 60 answer <&3 || { echo "the host does not answer" >&2; return 1; }
  echo "$answer"
}
