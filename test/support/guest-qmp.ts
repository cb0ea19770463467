/** QEMU's monitor, as far as guest tests need it: one command at a time, each wait bounded. */
import { connect, type Socket } from 'node:net';
import { waitFor } from './bounded-process.ts';

const ANSWER_TIMEOUT_MS = 20_000;

interface QmpMessage {
  readonly QMP?: unknown;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

export class QmpClient {
  readonly #socket: Socket;
  #text = '';
  #messages: QmpMessage[] = [];
  #failure: Error | undefined;

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
    await client.#message((message) => message.QMP !== undefined);
    await client.execute('qmp_capabilities');
    return client;
  }

  async execute(command: string): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command })}\n`);
    const answer = await this.#message((message) => 'return' in message || 'error' in message);
    if (answer.error !== undefined) throw new Error(`QMP ${command}: ${answer.error.desc}`);
    return answer.return;
  }

  /** Events in between are skipped. */
  #message(wanted: (message: QmpMessage) => boolean): Promise<QmpMessage> {
    return waitFor(
      () => 'answer from QMP',
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
