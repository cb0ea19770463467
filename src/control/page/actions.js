/**
 * What a person can do to the disk: pause and resume it, give it another size, switch direct I/O. Each is
 * asked for once more, with what it means for the guest, and nothing is shown as done before it is.
 */
/** @import { Question } from './confirm.js' */
/** @import { Rpc } from './rpc.js' */
/** @import { DiskView } from './wire.js' */
import { confirm } from './confirm.js';
import { byId, setText } from './dom.js';
import { bytes } from './format.js';

const pause = byId('pause', HTMLButtonElement);
const resize = byId('resize', HTMLButtonElement);
const directIo = byId('direct-io', HTMLButtonElement);

export class Actions {
  #rpc;
  #done;
  /** @type {DiskView | null} */
  #disk = null;

  /**
   * @param {Rpc} rpc
   * @param {() => void} done called when something was changed
   */
  constructor(rpc, done) {
    this.#rpc = rpc;
    this.#done = done;
    pause.addEventListener('click', () => this.#ask(pauseQuestion));
    resize.addEventListener('click', () => this.#ask(resizeQuestion));
    directIo.addEventListener('click', () => this.#ask(directIoQuestion));
  }

  /** @param {DiskView | null} disk null: nothing can be done now */
  show(disk) {
    this.#disk = disk;
    for (const button of [pause, resize, directIo]) button.disabled = disk === null;
    if (disk === null) return;
    setText(pause, disk.state === 'paused' ? 'Resume' : 'Pause');
    directIo.setAttribute('aria-checked', `${disk.directIo}`);
  }

  /** @param {(disk: DiskView, rpc: Rpc) => Question} question */
  async #ask(question) {
    const disk = this.#disk;
    if (disk === null) return;
    if (await confirm(question(disk, this.#rpc))) this.#done();
  }
}

/** @param {DiskView} disk @param {Rpc} rpc @returns {Question} */
function pauseQuestion({ name, state }, rpc) {
  if (state === 'paused') {
    return {
      title: `Resume ${name}?`,
      text: 'The guest’s requests are taken again, those that waited first.',
      yes: 'Resume',
      act: () => rpc.call('disk_resume', { disk: name }),
    };
  }
  return {
    title: `Pause ${name}?`,
    text: 'Requests in flight are completed; the guest’s next ones wait until the disk is resumed. A guest that waits for minutes may report a stalled disk.',
    yes: 'Pause',
    act: () => rpc.call('disk_quiesce', { disk: name }),
  };
}

/** @param {DiskView} disk @param {Rpc} rpc @returns {Question} */
function resizeQuestion({ name, sizeBytes }, rpc) {
  return {
    title: `Take the file’s size for ${name}?`,
    text: `The disk has ${bytes(sizeBytes)} now. The size that its file has today is taken, and the guest is told.`,
    yes: 'Resize',
    act: () => rpc.call('disk_set_capacity', { disk: name }),
  };
}

/** @param {DiskView} disk @param {Rpc} rpc @returns {Question} */
function directIoQuestion({ name, directIo: on }, rpc) {
  return {
    title: `Switch direct I/O ${on ? 'off' : 'on'} for ${name}?`,
    text: on
      ? 'Requests will go through the page cache of this machine. The disk stands still for a moment while it is switched.'
      : 'Requests will bypass the page cache of this machine, where the file allows it. What is cached is written first; the disk stands still for that long.',
    yes: on ? 'Switch off' : 'Switch on',
    act: () => rpc.call('disk_set_direct_io', { disk: name, direct_io: !on }),
  };
}
