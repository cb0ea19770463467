/**
 * All disks of a run directory as one: those that were attached here, which are looked after, and those that others
 * serve. Attaches disks, one at a time; finds the process that has a disk, and passes methods on to it.
 */
import { isAbsolute, join } from 'node:path';
import { ControlError } from '../../control/controlled-disk.ts';
import { EventHub } from '../../control/event-hub.ts';
import type { DiskConfig } from '../../control/schema/disk-config.ts';
import { withPaths } from '../../control/schema/disk-config.ts';
import type { DiskStatus } from '../../control/schema/disk-status.ts';
import type { Log } from '../../log.ts';
import { DiskStartError } from '../disk-process.ts';
import { loadState, saveState } from './daemon-state.ts';
import { FleetMember } from './fleet-member.ts';
import { closeAll, freeName, isMeant, scanDisks } from './scan.ts';

export class Fleet {
  /** Of the disks that are looked after. */
  readonly events = new EventHub();
  readonly #directory: string;
  readonly #log: Log;
  /** False: disks are started, and then they are on their own. */
  readonly #supervising: boolean;
  readonly #members = new Map<string, FleetMember>();
  /** Attaching, one after the other: names and sockets are taken in between. */
  #attaching: Promise<unknown> = Promise.resolve();

  constructor(directory: string, log: Log, supervising: boolean) {
    this.#directory = directory;
    this.#log = log;
    this.#supervising = supervising;
  }

  /** Takes up again what the daemon before this one has looked after. */
  async takeUp(): Promise<void> {
    for (const config of loadState(this.#directory)) {
      const member = this.#member(config);
      const found = await member.adopt();
      this.#log.info({ disk: member.name, pid: member.pid, found }, 'a disk of the last daemon');
      this.#watch(member);
    }
    this.#save();
  }

  async list(): Promise<DiskStatus[]> {
    const disks = await scanDisks(this.#directory);
    closeAll(disks);
    return disks.map(({ status }) => status).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Throws ControlError. */
  attach(config: DiskConfig): Promise<DiskStatus> {
    return this.#inTurn(() => this.#attach(config));
  }

  /** All of them or none. Throws ControlError. */
  load(configs: readonly DiskConfig[]): Promise<DiskStatus[]> {
    return this.#inTurn(async () => {
      const attached: DiskStatus[] = [];
      for (const [i, config] of configs.entries()) {
        try {
          attached.push(await this.#attach(config));
        } catch (error) {
          for (const { name } of attached.reverse()) await this.#end(name);
          if (!(error instanceof ControlError)) throw error;
          const none = 'none of the configuration is attached';
          throw new ControlError(error.code, `disks[${i}]: ${error.message}; ${none}`);
        }
      }
      return attached;
    });
  }

  /** Every disk's configuration. */
  async save(): Promise<DiskConfig[]> {
    const disks = await scanDisks(this.#directory);
    try {
      const asked = disks.map(({ status: { name }, client }) =>
        client.call('disk_get_config', { disk: name }),
      );
      return await Promise.all(asked);
    } finally {
      closeAll(disks);
    }
  }

  /** Has the process that has the disk carry out a method. Throws ControlError or RpcError. */
  async forward(method: string, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    const word = String(params['disk']);
    const member = this.#members.get(word);
    if (member !== undefined) return await this.#forwardTo(member, method, params);
    const disks = await scanDisks(this.#directory);
    const meant = disks.filter(({ status }) => isMeant(status, word));
    const [found] = meant;
    closeAll(disks.filter(({ client }) => client !== found?.client));
    if (found === undefined) {
      const names = disks.map(({ status }) => status.name).join(', ') || 'none';
      throw new ControlError('ENODEV', `disk=${word}: no such disk; there are: ${names}`);
    }
    const { status, client } = found;
    try {
      if (meant.length > 1) {
        const sockets = meant.map((disk) => disk.status.socket).join(', ');
        throw new ControlError('EINVAL', `disk=${word}: several are meant, at ${sockets}`);
      }
      const named = this.#members.get(status.name);
      if (named?.pid === status.pid) return await this.#forwardTo(named, method, params);
      return await client.callAny(method, { ...params, disk: status.name });
    } finally {
      client.close();
    }
  }

  /** Looks after nothing any more; the disks go on. */
  leave(): void {
    for (const member of this.#members.values()) member.leave();
  }

  async #forwardTo(
    member: FleetMember,
    method: string,
    params: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
    const { client, name } = member;
    if (client === null) {
      throw new ControlError('ENXIO', `disk=${name}: its process died and is being started again`);
    }
    const result = await client.callAny(method, { ...params, disk: name });
    if (!method.startsWith('disk_get_')) await member.learn();
    return result;
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#attaching.then(run);
    this.#attaching = turn.catch(() => {});
    return turn;
  }

  async #attach(config: DiskConfig): Promise<DiskStatus> {
    const member = this.#member(await this.#completed(config));
    try {
      await member.start();
    } catch (error) {
      this.#members.delete(member.name);
      if (error instanceof DiskStartError) throw new ControlError('EINVAL', error.message);
      throw error;
    }
    const status = await member.client!.call('disk_get_status', { disk: member.name });
    this.#log.info({ disk: member.name, pid: member.pid }, 'disk attached');
    this.events.emit('disk_attached', member.name);
    if (this.#supervising) this.#watch(member);
    return status;
  }

  /** With a name and a socket that nobody else has. Throws ControlError. */
  async #completed(config: DiskConfig): Promise<DiskConfig> {
    withPaths(config, (path) => {
      if (isAbsolute(path)) return path;
      throw new ControlError('EINVAL', `${path}: expected an absolute path`);
    });
    const { blk_file: file, memory } = config;
    if ((file === undefined) === (memory === undefined)) {
      throw new ControlError('EINVAL', 'expected one of blk_file and memory');
    }
    const others = await this.list();
    const taken = new Set([...others.map(({ name }) => name), ...this.#members.keys()]);
    const name = config['name'] ?? freeName(file === undefined ? null : String(file), taken);
    if (taken.has(String(name))) {
      throw new ControlError('EEXIST', `name=${name}: another disk is called so`);
    }
    return {
      ...config,
      name,
      socket_path: config['socket_path'] ?? join(this.#directory, `${name}.sock`),
    };
  }

  #member(config: DiskConfig): FleetMember {
    const member: FleetMember = new FleetMember(config, this.#directory, this.#log, {
      onChange: () => this.#save(),
      onEnd: () => {
        this.#members.delete(member.name);
        this.#save();
      },
      onEvent: (name, more) => this.events.emit(name, member.name, more),
    });
    this.#members.set(member.name, member);
    return member;
  }

  #watch(member: FleetMember): void {
    member.watch().catch((error: unknown) => {
      this.#members.delete(member.name);
      this.#log.error(
        { disk: member.name, error: String(error) },
        'the disk is looked after no more',
      );
      this.#save();
    });
  }

  async #end(name: string): Promise<void> {
    const member = this.#members.get(name);
    this.#members.delete(name);
    await member?.end();
    this.#save();
  }

  #save(): void {
    if (!this.#supervising) return;
    saveState(
      this.#directory,
      [...this.#members.values()].map(({ config }) => config),
    );
  }
}
