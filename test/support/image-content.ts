/**
 * Content of test images: bytes that show where they belong, and the check for an image whose writers were stopped
 * at an unknown moment.
 */

/** Bytes that differ from block to block and from seed to seed. */
export function noise(sizeBytes: number, seed: number): Buffer {
  const words = new Uint32Array(sizeBytes / 4);
  let state = seed | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return Buffer.from(words.buffer);
}

/**
 * Each block has to be as it was before, or, where a client wrote (every `stepBytes`), wholly filled with one of its
 * patterns. The offset of the first block that is neither, or undefined.
 */
export function brokenBlock(
  after: Buffer,
  before: Buffer,
  sizeBytes: number,
  patterns: readonly number[],
  stepBytes = sizeBytes,
): number | undefined {
  for (let offset = 0; offset < after.length; offset += sizeBytes) {
    const block = after.subarray(offset, offset + sizeBytes);
    if (block.equals(before.subarray(offset, offset + sizeBytes))) continue;
    const first = block[0]!;
    const whole = patterns.includes(first) && block.every((byte) => byte === first);
    if (!whole || offset % stepBytes !== 0) return offset;
  }
  return undefined;
}
