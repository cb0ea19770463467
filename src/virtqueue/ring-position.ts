/**
 * Where a ring stands, decoded for people: indices of both sides, and what each asks of the other. Looked up
 * when somebody asks why a disk stands still; nothing of the data path uses it.
 * Source: virtio 1.3 §2.7, §2.8.
 */

/** By the names that virtio and the kernel's drivers have for them. */
export type RingPosition = Readonly<Record<string, number | boolean | string>>;

/** What a driver asks of the device's notifications, or the device of the driver's, in a packed ring. */
export function eventText(flags: number, index: number, wrap: boolean): string {
  if (flags === 0) return 'always';
  if (flags === 1) return 'never';
  return flags === 2 ? `at ${index}, wrap ${wrap ? 1 : 0}` : `reserved flags ${flags}`;
}
