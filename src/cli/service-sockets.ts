/**
 * Sockets that a service manager listens at for this process (systemd.socket, sd_listen_fds(3)): which disk gets
 * which. Pure: environment and names in, descriptors out.
 */
import { SocketError } from '../vhost-user/server.ts';

/** SD_LISTEN_FDS_START: after the three standard streams. */
const FIRST_FD = 3;
const FDS_MAX = 4096;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface PassedSocket {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit, or its own name. */
  readonly name: string;
}

/** What was passed to the process `pid`; nothing when it was meant for another one. Throws SocketError. */
export function passedSockets(environment: Environment, pid: number): PassedSocket[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment;
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return [];
  const count = Number(LISTEN_FDS);
  if (!/^\d+$/.test(LISTEN_FDS) || count > FDS_MAX) {
    throw new SocketError(`LISTEN_FDS=${LISTEN_FDS}: expected a number, at most ${FDS_MAX}`);
  }
  const names = LISTEN_FDNAMES?.split(':') ?? [];
  return Array.from({ length: count }, (_, i) => ({ fd: FIRST_FD + i, name: names[i] ?? '' }));
}

/**
 * The descriptor of each disk: the socket that is called like it, the others in their order. Throws SocketError
 * when there is not one for each.
 */
export function socketsOfDisks(
  sockets: readonly PassedSocket[],
  disks: readonly string[],
): number[] {
  if (sockets.length !== disks.length) {
    throw new SocketError(
      `LISTEN_FDS=${sockets.length}: expected a socket for each disk, and ${disks.length} are served`,
    );
  }
  const named = new Map(sockets.map((socket) => [socket.name, socket]));
  const own = disks.map((disk) => named.get(disk));
  const rest = sockets.filter((socket) => !own.includes(socket));
  return own.map((socket) => (socket ?? rest.shift()!).fd);
}
