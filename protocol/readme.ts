/**
 * Renders protocol/README.md from the declarations of this room. A conformance test compares the
 * rendering with the file, so the document cannot go stale. Pure: returns the text.
 */

import * as deviceState from './device-state.ts';
import * as inflight from './inflight.ts';
import * as ioUring from './io-uring.ts';
import { type Codes, fieldSizeBytes, type Layout } from './layout.ts';
import * as linux from './linux.ts';
import * as partitionTables from './partition-tables.ts';
import * as vhostUser from './vhost-user.ts';
import { type BackendMessageRow, vhostUserBackendMessages } from './vhost-user-backend-messages.ts';
import type { MessageRow } from './vhost-user-message-row.ts';
import * as messages from './vhost-user-messages.ts';
import * as payloads from './vhost-user-payloads.ts';
import * as virtioBlk from './virtio-blk.ts';
import * as virtioRing from './virtio-ring.ts';

const ROOMS: ReadonlyArray<readonly [file: string, module: Readonly<Record<string, unknown>>]> = [
  ['virtio-ring.ts', virtioRing],
  ['virtio-blk.ts', virtioBlk],
  ['vhost-user.ts', vhostUser],
  ['vhost-user-payloads.ts', payloads],
  ['vhost-user-messages.ts', messages],
  ['inflight.ts', inflight],
  ['device-state.ts', deviceState],
  ['io-uring.ts', ioUring],
  ['partition-tables.ts', partitionTables],
  ['linux.ts', linux],
];

function isLayout(value: unknown): value is Layout {
  return typeof value === 'object' && value !== null && 'at' in value && 'sizeBytes' in value;
}

function isCodes(value: unknown): value is Codes {
  return typeof value === 'object' && value !== null && 'nameOf' in value;
}

/**
 * The exports of a file by name: a module's own order is alphabetical in Node and the order of
 * declaration under a bundler or a test runner, and the document must not depend on that.
 */
function declarations(module: Readonly<Record<string, unknown>>): unknown[] {
  return Object.keys(module)
    .sort()
    .map((name) => module[name]);
}

/** Every layout declared in this room, by file. */
export function allLayouts(): Array<readonly [file: string, layout: Layout]> {
  return ROOMS.flatMap(([file, module]) =>
    declarations(module)
      .filter(isLayout)
      .map((layout) => [file, layout] as const),
  );
}

function layoutTable(layout: Layout): string {
  const rows = Object.entries(layout.fields).map(
    ([name, [type, meaning]]) =>
      `| ${layout.at[name]} | ${fieldSizeBytes(type)} | \`${name}\` | ${type} | ${meaning} |`,
  );
  return [
    `### \`${layout.name}\`: ${layout.sizeBytes} bytes (${layout.source})`,
    '',
    '| offset | bytes | field | type | meaning |',
    '|--:|--:|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function codesTable(family: Codes): string {
  const rows = Object.entries(family.values).map(([name, value]) => `| ${value} | \`${name}\` |`);
  return [
    `### ${family.family} (${family.source})`,
    '',
    '| value | name |',
    '|--:|---|',
    ...rows,
    '',
  ].join('\n');
}

function featureName(bit: number | null): string {
  if (bit === null) return '–';
  return vhostUser.vhostUserProtocolFeatures.nameOf(bit).replace('VHOST_USER_PROTOCOL_F_', '');
}

function backendMessageTable(): string {
  const rows = Object.values(vhostUserBackendMessages).map(
    ({ code, name, payload, needs, meaning }: BackendMessageRow) =>
      `| ${code} | \`${name.replace('VHOST_USER_', '')}\` | ${payload === null ? '–' : `\`${payload.name}\``} | ${featureName(needs)} | ${meaning} |`,
  );
  return [
    '### Back-end messages sent',
    '',
    '| code | message | payload | needs | meaning |',
    '|--:|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function messageTable(): string {
  const rows = Object.values(messages.vhostUserMessages).map((message: MessageRow) => {
    const payload =
      message.payload === null
        ? '–'
        : `\`${message.payload.name}\`${message.tail ? ` + ${message.tail}` : ''}`;
    const needs = featureName(message.needs);
    return `| ${message.code} | \`${message.name.replace('VHOST_USER_', '')}\` | ${payload} | ${message.fds} | ${message.reply} | ${needs} | ${message.meaning} |`;
  });
  return [
    '### Front-end messages served',
    '',
    '| code | message | payload | fds | reply | needs | meaning |',
    '|--:|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** The whole text of protocol/README.md. */
export function renderProtocolReadme(): string {
  const parts = [
    '# protocol/: wire formats as data',
    '',
    'Generated from the declarations in this folder by `npm run docs`; a test fails when it is stale.',
    'le = little-endian (virtio), u and i = native byte order (kernel interfaces and vhost-user).',
    '',
  ];
  for (const [file, module] of ROOMS) {
    parts.push(`## ${file}`, '');
    if (module === vhostUser) parts.push(messageTable(), backendMessageTable());
    for (const value of declarations(module)) {
      if (isLayout(value)) parts.push(layoutTable(value));
      else if (isCodes(value)) parts.push(codesTable(value));
    }
  }
  return `${parts.join('\n').trimEnd()}\n`;
}
