# shellcheck shell=bash
# A disk image that boots by itself, built without mounting anything and without root:
#   sector 0        GRUB's boot.img and the partition table
#   sector 1…       GRUB's core.img, in the gap before the first partition
#   partition 1     ext4: kernel, initramfs, GRUB's menu, and the guest's root file system
#   partition 2     FAT (type EF): GRUB for OVMF, as the file that firmware looks for
# Needs packages.sh, initramfs.sh.

# partition_entry STATUS TYPE FIRST COUNT: 16 bytes of an MBR partition table on stdout.
partition_entry() {
  local hex
  printf -v hex '%02x000000%02x000000' "$1" "$2"
  printf '%b' "$(sed 's/../\\x&/g' <<<"$hex")"
  local number shift
  for number in "$3" "$4"; do
    for shift in 0 8 16 24; do printf '%b' "$(printf '\\x%02x' $((number >> shift & 255)))"; done
  done
}

# build_boot BUILD OUT BASE
build_boot() {
  local build=$1 out=$2 base=$3 root=$1/root tools=$1/debs grub=$1/debs/usr/lib/grub
  local image=$2/boot.img first=2048 count=196608 esp_first=198656 esp_count=32768
  packages_unpack "$tools" grub-common grub-pc-bin grub-efi-amd64-bin mtools ovmf
  cp "$tools/usr/share/ovmf/OVMF.fd" "$out/"

  # The guest's own files double as the root file system.
  mkdir -p "$root/boot/grub"
  (cd "$root" && "$base/busybox" cpio -idm <"$base/guest.cpio") 2>/dev/null
  cp "$base/vmlinuz" "$base/guest.cpio" "$root/boot/"
  cat >"$root/boot/grub/grub.cfg" <<'END'
linux /boot/vmlinuz root=/dev/vda1 console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off
initrd /boot/guest.cpio
boot
END
  truncate -s $(((esp_first + esp_count) * 512)) "$image"
  mke2fs -q -t ext4 -d "$root" -E offset=$((first * 512)),root_owner=0:0 "$image" $((count / 2))k

  cat >"$build/early.cfg" <<'END'
serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB-STARTED"
search --no-floppy --file --set=root /boot/vmlinuz
configfile /boot/grub/grub.cfg
END
  local modules=(part_msdos ext2 search search_fs_file configfile normal linux serial terminal
    echo boot)
  local mkimage=("$tools/usr/bin/grub-mkimage" -c "$build/early.cfg" -p /boot/grub)
  "${mkimage[@]}" -O i386-pc -d "$grub/i386-pc" -o "$build/core.img" biosdisk "${modules[@]}"
  "${mkimage[@]}" -O x86_64-efi -d "$grub/x86_64-efi" -o "$build/bootx64.efi" \
    fat "${modules[@]}"

  # core.img's own defaults say "the rest of me follows from sector 2", so no grub-install is needed.
  dd if="$grub/i386-pc/boot.img" of="$image" bs=440 count=1 conv=notrunc status=none
  dd if="$build/core.img" of="$image" bs=512 seek=1 conv=notrunc status=none
  {
    partition_entry 128 131 $first $count
    partition_entry 0 239 $esp_first $esp_count
  } | dd of="$image" bs=1 seek=446 conv=notrunc status=none
  printf '\x55\xaa' | dd of="$image" bs=1 seek=510 conv=notrunc status=none

  local fat="$image@@$((esp_first * 512))" mtools="$tools/usr/bin/mtools"
  export MTOOLS_SKIP_CHECK=1
  "$mtools" -c mformat -i "$fat" -T $esp_count -h 64 -s 32 ::
  "$mtools" -c mmd -i "$fat" ::/EFI ::/EFI/BOOT
  "$mtools" -c mcopy -i "$fat" "$build/bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
}
