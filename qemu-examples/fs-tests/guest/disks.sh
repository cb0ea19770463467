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

# prepare_disks FS: the disk that keeps its file system over tests gets one; the others are emptied.
prepare_disks() {
  local role disk
  umount -q /mnt/test /mnt/scratch
  modprobe -qa loop "$1"
  for role in "${roles[@]}"; do
    disk=$(disk_of "$role") || continue
    blkdiscard -f "$disk" 2>/dev/null
  done
  if [[ $1 != block ]] && ! grep -qw "$1" /proc/filesystems; then
    echo "this kernel has no $1"
    return 1
  fi
  make_fs "$1" "$(disk_of test)"
}

# ask_host QUESTION…: one line to the host, one line back. "allocated ROLE": KiB that the disk's image takes there.
ask_host() {
  local answer
  printf '@ask %s\n' "$*" >&3
  IFS= read -r -t 60 answer <&3 || { echo "the host does not answer" >&2; return 1; }
  echo "$answer"
}
