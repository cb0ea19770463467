/**
 * The eventfds of a started vring, which are the session's: this side only looks at kicks, and signals calls
 * and errors. A vring without a kick eventfd is polled (vhost-user.rst, VHOST_USER_SET_VRING_KICK, bit 8).
 */
import { signalEventfd } from '../sys/eventfd.ts';
import type { LoopWorker } from './loop-worker.ts';
import type { VringStart } from './messages.ts';
import type { StartedVring } from './started-vring.ts';

export function watchKick(worker: LoopWorker, { index, kickFd }: VringStart): void {
  if (kickFd >= 0) worker.watchKick(index, kickFd);
  else worker.polledVrings++;
}

export function unwatchKick(worker: LoopWorker, { index, kickFd }: VringStart): void {
  if (kickFd >= 0) worker.unwatchKick(index);
  else worker.polledVrings--;
}

/** Another kick eventfd. `watched`: kicks of the vring are looked at, and go on being so. */
export function setKickFd(
  worker: LoopWorker,
  vring: StartedVring,
  fd: number,
  watched: boolean,
): void {
  if (watched) unwatchKick(worker, vring.start);
  vring.start = { ...vring.start, kickFd: fd };
  if (watched) watchKick(worker, vring.start);
}

export function setCallFd(vring: StartedVring, fd: number): void {
  vring.start = { ...vring.start, callFd: fd };
  if (vring.queue) vring.queue.callFd = fd;
  // The driver may have missed a call on the old fd (libvhost-user: "I/O hang after reconnecting").
  if (fd >= 0) signalEventfd(fd);
}

export function setErrFd(vring: StartedVring, fd: number): void {
  vring.start = { ...vring.start, errFd: fd };
  if (fd >= 0 && vring.queue !== null && vring.queue.vring.broken !== 0) signalEventfd(fd);
}

/** Tells the front-end that a vring is broken. */
export function signalError(vring: StartedVring | undefined): void {
  const fd = vring?.start.errFd ?? -1;
  if (fd >= 0) signalEventfd(fd);
}
