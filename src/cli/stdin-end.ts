/**
 * `--exit-with-stdin`: a disk whose starter has gone. Whoever starts vloop holds the other end of its standard
 * input, and the kernel closes that however the starter ends. A machine that is at the disk by then keeps it until
 * it leaves.
 */
import type { Log } from '../log.ts';
import type { Server } from '../vhost-user/server.ts';

/** Looks from now on. `disks` are those that are served then. */
export function exitWithStdin(disks: ReadonlyArray<{ readonly server: Server }>, log: Log): void {
  let ended = false;
  const onEnd = () => {
    if (ended) return;
    ended = true;
    log.info('standard input is closed: ending when no front-end is connected');
    for (const { server } of disks) server.finish();
  };
  // One that cannot be read tells nothing any more either.
  process.stdin.on('end', onEnd).on('error', onEnd).resume();
}
