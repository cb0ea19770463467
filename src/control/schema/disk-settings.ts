/**
 * What can be changed of a disk while a guest runs on it: params of the methods that change it. The loop driver's
 * rules hold; what differs is said in the descriptions.
 */
import { BLOCK_SIZES } from '../../loop/geometry.ts';

const BYTES = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;

const offset = { ...BYTES, description: 'where the disk begins in the file' } as const;
const sizeLimit = {
  ...BYTES,
  description: 'the most bytes of the file that are shown; 0: all behind the offset',
} as const;
const autoclear = {
  type: 'boolean',
  description: 'end the disk when its front-end has gone',
} as const;
export const directIo = {
  enum: [true, false, 'auto'],
  description:
    'bypass the page cache; on is refused, with the reason, where that cannot be; auto: wherever it can',
} as const;
export const blockSize = {
  enum: BLOCK_SIZES,
  description:
    'logical block size; refused while a front-end is connected, which would not learn of it',
} as const;

/** Of disk_set_status, besides `disk`: all that is given is taken, or nothing. */
export const settingsParams = {
  offset,
  size_limit: sizeLimit,
  autoclear,
  direct_io: directIo,
  block_size: blockSize,
  read_only: {
    type: 'boolean',
    description: 'how the file was opened: can be asked for as it is, not changed',
  },
} as const;

/** Of disk_change_file, besides `disk`. */
export const changeFileParams = {
  file: { type: 'string', minLength: 1, description: 'the file that the disk shall have' },
  quiesced: {
    type: 'boolean',
    description:
      'also under a writable disk, with nothing in flight: the new file has to be a copy',
  },
  resize: { type: 'boolean', description: 'also when its size is another one' },
} as const;
