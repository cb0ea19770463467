/**
 * Partition tables on a disk: the DOS label (MBR) with its chain of logical partitions, and GPT.
 * Source: UEFI 2.10 §5.2 (MBR), §5.3 (GPT); type codes as the kernel's block/partitions and sfdisk know them. Data only.
 */
import { struct } from './layout.ts';

export const mbrPartitionRecord = struct('MBR partition record', 'UEFI 2.10 §5.2.1', 16, {
  BootIndicator: ['u8', '0x80: legacy bootable'],
  StartingCHS: ['bytes[3]', 'not used'],
  OSType: ['u8', 'type; 0: the record is empty'],
  EndingCHS: ['bytes[3]', 'not used'],
  StartingLBA: ['le32', 'first logical block'],
  SizeInLBA: ['le32', 'logical blocks'],
});

/** In the first 512 bytes of the disk and of each link of an extended partition's chain. */
export const MBR_SIGNATURE_OFFSET = 510;
export const MBR_SIGNATURE = 0xaa55;
export const MBR_DISK_ID_OFFSET = 440;
export const MBR_RECORDS_OFFSET = 446;
export const MBR_RECORDS = 4;

/** Linux has minors for so many partitions of a disk, beside the disk itself (DISK_MAX_PARTS, block/partitions). */
export const LINUX_PARTITIONS_MAX = 255;

/** CHS, LBA and Linux's own: a chain of logical partitions. */
export const MBR_TYPES_EXTENDED: readonly number[] = [0x05, 0x0f, 0x85];
/** The whole disk belongs to a GPT. */
export const MBR_TYPE_PROTECTIVE = 0xee;

export const MBR_TYPE_NAMES: Readonly<Record<number, string>> = {
  1: 'FAT12',
  4: 'FAT16 <32M',
  5: 'Extended',
  6: 'FAT16',
  7: 'HPFS/NTFS/exFAT',
  11: 'W95 FAT32',
  12: 'W95 FAT32 (LBA)',
  14: 'W95 FAT16 (LBA)',
  15: 'W95 Ext’d (LBA)',
  130: 'Linux swap / Solaris',
  131: 'Linux',
  133: 'Linux extended',
  142: 'Linux LVM',
  165: 'FreeBSD',
  166: 'OpenBSD',
  169: 'NetBSD',
  238: 'GPT',
  239: 'EFI (FAT-12/16/32)',
  253: 'Linux raid autodetect',
};

export const gptHeader = struct('GPT header', 'UEFI 2.10 §5.3.2', 92, {
  Signature: ['bytes[8]', '"EFI PART"'],
  Revision: ['le32', '0x00010000'],
  HeaderSize: ['le32', 'bytes that HeaderCRC32 covers'],
  HeaderCRC32: ['le32', 'of the header, with this field 0'],
  Reserved: ['le32', '0'],
  MyLBA: ['le64', 'where this header is'],
  AlternateLBA: ['le64', 'where the other one is'],
  FirstUsableLBA: ['le64', 'first block that a partition may have'],
  LastUsableLBA: ['le64', 'last one'],
  DiskGUID: ['bytes[16]', 'of the disk'],
  PartitionEntryLBA: ['le64', 'where the entries start'],
  NumberOfPartitionEntries: ['le32', 'entries, used or not'],
  SizeOfPartitionEntry: ['le32', 'bytes of each: 128 × 2^n'],
  PartitionEntryArrayCRC32: ['le32', 'of all entries'],
});

export const GPT_SIGNATURE = 'EFI PART';
/** The first header; the other one is in the last logical block. */
export const GPT_HEADER_LBA = 1;

export const gptPartitionEntry = struct('GPT partition entry', 'UEFI 2.10 §5.3.3', 128, {
  PartitionTypeGUID: ['bytes[16]', 'zero: the entry is empty'],
  UniquePartitionGUID: ['bytes[16]', 'of the partition'],
  StartingLBA: ['le64', 'first logical block'],
  EndingLBA: ['le64', 'last one, inclusive'],
  Attributes: ['le64', 'bit 0 required, bit 2 legacy bootable'],
  PartitionName: ['bytes[72]', 'UTF-16LE, ended by a zero'],
});

export const GPT_TYPE_NAMES: Readonly<Record<string, string>> = {
  '024DEE41-33E7-11D3-9D69-0008C781F39F': 'MBR partition scheme',
  '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F': 'Linux swap',
  '0FC63DAF-8483-4772-8E79-3D69D8477DE4': 'Linux filesystem',
  '21686148-6449-6E6F-744E-656564454649': 'BIOS boot',
  '3B8F8425-20E0-4F3B-907F-1A25A76F98E8': 'Linux server data',
  '44479540-F297-41B2-9AF7-D131D5F0458A': 'Linux root (x86)',
  '4D21B016-B534-45C2-A9FB-5C16E091FD2D': 'Linux variable data',
  '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709': 'Linux root (x86-64)',
  '69DAD710-2CE4-4E3C-B16C-21A1D49ABED3': 'Linux root (ARM)',
  '7C3457EF-0000-11AA-AA11-00306543ECAC': 'Apple APFS',
  '8DA63339-0007-60C0-C436-083AC8230908': 'Linux reserved',
  '9E1A2D38-C612-4316-AA26-8B49521E5A8B': 'PowerPC PReP boot',
  'A19D880F-05FC-4D3B-A006-743F0F84911E': 'Linux RAID',
  'B921B045-1DF0-41C3-AF44-4C6F280D3FAE': 'Linux root (ARM-64)',
  'BC13C2FF-59E6-4262-A352-B275FD6F7172': 'Linux extended boot',
  'C12A7328-F81F-11D2-BA4B-00A0C93EC93B': 'EFI System',
  'CA7D7CCB-63ED-4C53-861C-1742536059CC': 'LUKS',
  'DE94BBA4-06D1-4D40-A16A-BFD50179D6AC': 'Windows recovery environment',
  'E3C9E316-0B5C-4DB8-817D-F92DF00215AE': 'Microsoft reserved',
  'E6D6D379-F507-44C2-A23C-238F2A3DF928': 'Linux LVM',
  'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7': 'Microsoft basic data',
};
