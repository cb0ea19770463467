/**
 * QEMU's monitor, as far as guest tests need it: one command at a time, and events since the start, each
 * wait bounded.
 */
import { connect, type Socket } from 'node:net';
import { waitFor } from './bounded-process.ts';

const ANSWER_TIMEOUT_MS = 20_000;

type Parameters = Readonly<Record<string, unknown>>;

interface QmpMessage {
  readonly event?: string;
  readonly data?: Parameters;
  readonly QMP?: unknown;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

export class QmpClient {
  readonly #socket: Socket;
  #text = '';
  #messages: QmpMessage[] = [];
  readonly #events: QmpMessage[] = [];
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
      const messages = lines.filter(Boolean).map((line) => JSON.parse(line) as QmpMessage);
      for (const message of messages) {
        (message.event === undefined ? this.#messages : this.#events).push(message);
      }
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

  async execute(command: string, parameters: Parameters = {}) {
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

  /** Waits for an event with these data, which may have come already; it is not found again. */
  event(name: string, data: Parameters, timeoutMs = ANSWER_TIMEOUT_MS): Promise<Parameters> {
    return waitFor(
      () => `event ${name} ${JSON.stringify(data)} from QMP`,
      timeoutMs,
      () => {
        if (this.#failure !== undefined) throw this.#failure;
        const at = this.#events.findIndex(
          (event) =>
            event.event === name &&
            Object.entries(data).every(([key, value]) => event.data?.[key] === value),
        );
        return at < 0 ? undefined : (this.#events.splice(at, 1)[0]!.data ?? {});
      },
    );
  }

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
