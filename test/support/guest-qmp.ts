/** QEMU's monitor, as far as guest tests need it: one command at a time, each wait bounded. */
import { connect, type Socket } from 'node:net';
import { waitFor } from './bounded-process.ts';

const ANSWER_TIMEOUT_MS = 20_000;

interface QmpMessage {
  readonly QMP?: unknown;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

export class QmpClient {
  readonly #socket: Socket;
  #text = '';
  #messages: QmpMessage[] = [];
  #failure: Error | undefined;
  #nextId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', (error) => {
      this.#failure = error;
    });
    socket.on('data', (chunk) => {
      const lines = (this.#text + chunk.toString()).split('\n');
      this.#text = lines.pop() ?? '';
      this.#messages.push(...lines.filter(Boolean).map((line) => JSON.parse(line) as QmpMessage));
    });
  }

  static async connect(path: string): Promise<QmpClient> {
    const client = new QmpClient(connect(path));
    try {
      await client.#message('greeting', (message) => message.QMP !== undefined);
      await client.execute('qmp_capabilities');
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async execute(command: string, parameters: Readonly<Record<string, unknown>> = {}) {
    const id = this.#nextId++;
    const line = { execute: command, arguments: parameters, id };
    this.#socket.write(`${JSON.stringify(line)}\n`);
    // By its id: the answer to a command that was given up may still come.
    const answer = await this.#message(`answer to ${command}`, (message) => message.id === id);
    if (answer.error !== undefined) throw new Error(`QMP ${command}: ${answer.error.desc}`);
    return answer.return;
  }

  /** A command of the human monitor; what it prints. */
  async monitor(line: string): Promise<string> {
    return String(await this.execute('human-monitor-command', { 'command-line': line }));
  }

  /** Events in between are skipped. */
  #message(what: string, wanted: (message: QmpMessage) => boolean): Promise<QmpMessage> {
    return waitFor(
      () => `${what} from QMP`,
      ANSWER_TIMEOUT_MS,
      () => {
        if (this.#failure !== undefined) throw this.#failure;
        const index = this.#messages.findIndex(wanted);
        if (index < 0) return undefined;
        const found = this.#messages[index];
        this.#messages = this.#messages.slice(index + 1);
        return found;
      },
    );
  }

  close(): void {
    this.#socket.destroy();
  }
}
