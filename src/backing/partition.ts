/**
 * What a partition table says, and of what it is read: types only, shared by the readers of both kinds.
 */

export interface Partition {
  /** As the guest's kernel counts: from 1, logical ones from 5. */
  readonly number: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** A GUID, or 0x83. */
  readonly type: string;
  /** Null: not in our table. */
  readonly typeName: string | null;
  readonly name: string | null;
  /** What Linux calls PARTUUID. */
  readonly uuid: string | null;
  readonly bootable: boolean;
  /** It holds logical partitions, no data. */
  readonly extended: boolean;
}

export interface PartitionTable {
  readonly kind: 'dos' | 'gpt';
  readonly id: string;
  readonly partitions: readonly Partition[];
  /** What is wrong with the table, and was got around. */
  readonly damage: readonly string[];
}

/** A disk to look at. */
export interface ReadableDisk {
  readonly sizeBytes: number;
  /** The unit in which tables count. */
  readonly blockSizeBytes: number;
  /** The bytes, fewer at the disk's end. Rejects when they cannot be read. */
  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
}
