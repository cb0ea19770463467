/**
 * The architecture as rules over source text: which room may import which, what is banned where and
 * what to use instead, how long things may be. Pure functions from a file to sentences, so that the
 * rules can be tried on wrong examples; tidy.test.ts applies them to the tree.
 */

export interface SourceFile {
  /** From the root of the project, e.g. `src/blk/blk-request.ts`. */
  readonly path: string;
  readonly text: string;
}

export const FILE_LINES_MAX = 300;
export const FUNCTION_LINES_MAX = 60;
const HEADER_WORDS_MIN = 8;

const CORE = ['protocol', 'memory', 'virtqueue', 'blk', 'uring'] as const;
const TO_LOOP = [...CORE, 'loop'];
const TO_BACKING = [...TO_LOOP, 'layers', 'backing', 'transfer'];
const TO_VHOST_USER = [...TO_BACKING, 'worker', 'vhost-user'];

/** The arrows of ARCHITECTURE.md: a room, and the rooms it may import besides itself. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  memory: ['protocol'],
  virtqueue: ['protocol', 'memory'],
  blk: ['protocol', 'memory', 'virtqueue'],
  uring: ['protocol'],
  sys: ['protocol'],
  log: ['protocol'],
  loop: CORE,
  layers: TO_LOOP,
  backing: [...TO_LOOP, 'sys', 'log'],
  transfer: [...TO_LOOP, 'sys'],
  worker: [...TO_BACKING, 'sys', 'log'],
  'vhost-user': [...TO_BACKING, 'worker', 'sys', 'log'],
  control: [...TO_VHOST_USER, 'log'],
  cli: [...TO_VHOST_USER, 'control', 'sys', 'log'],
};

/** Packages, and the one place that may import each. */
const PACKAGE_HOME: Readonly<Record<string, RegExp>> = {
  koffi: /^src\/sys\//,
  pino: /^src\/log\.ts$/,
  ws: /^src\/control\//,
  'prom-client': /^src\/control\//,
  uplot: /^src\/control\//,
  typebox: /^src\/control\//,
};

const PURE_ROOMS = ['memory', 'virtqueue', 'blk', 'uring', 'loop', 'layers'];
const HOT_FILES = /^src\/(memory|virtqueue|loop|uring)\/|^src\/blk\/blk-request\.ts$/;

/** The room of a source file: a folder of src/, `protocol`, or the name of a file in src/ itself. */
export function roomOf(path: string): string {
  const [top, room] = path.split('/');
  return top === 'src' ? room!.replace(/\.[tj]s$/, '') : top!;
}

/** The files of vhost-user that hold the socket; all others of that room are pure. */
function isSocketFile(path: string): boolean {
  return /^src\/vhost-user\/(connection|server)[^/]*\.ts$/.test(path);
}

export function isPure(path: string): boolean {
  const room = roomOf(path);
  return PURE_ROOMS.includes(room) || (room === 'vhost-user' && !isSocketFile(path));
}

/** The text with comments and the contents of strings blanked; lines stay where they are. */
export function codeOf(text: string): string {
  const quoted =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(quoted, (match) => match.replace(/[^\n]/g, ' '));
}

/** What a file imports, as written; dynamic imports of literal names too. */
export function importsOf({ text }: SourceFile): string[] {
  const found = text.matchAll(
    /^(?:import|export)\b[^;]*?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm,
  );
  return [...found].map(([, from, bare, dynamic]) => (from ?? bare ?? dynamic)!);
}

function resolved(path: string, specifier: string): string {
  return new URL(specifier, `file:///${path}`).pathname.slice(1);
}

/** Sentences about imports that the architecture forbids. */
export function importViolations(file: SourceFile): string[] {
  const room = roomOf(file.path);
  const allowed = MAY_IMPORT[room];
  if (allowed === undefined) {
    return [
      `${file.path}: room ${room} has no place in the architecture: give it one in MAY_IMPORT`,
    ];
  }
  return importsOf(file).flatMap((specifier) => {
    const says = (rule: string) => [`${file.path} imports ${specifier}: ${rule}`];
    if (specifier.startsWith('node:')) {
      if (room === 'protocol') return says('protocol/ is data and imports nothing outside itself');
      if (isPure(file.path)) {
        return says('this file is pure: take time, files and randomness as arguments instead');
      }
      return [];
    }
    if (!specifier.startsWith('.')) {
      const home = PACKAGE_HOME[specifier.split('/')[0]!];
      if (home === undefined)
        return says('no room may use this package: write it, or argue for it');
      return home.test(file.path) ? [] : says(`only ${home.source} may: go through its functions`);
    }
    const target = roomOf(resolved(file.path, specifier));
    if (target === room) return [];
    if (!allowed.includes(target)) {
      return says(`${room} may import ${allowed.join(', ') || 'nothing'}: pass a port instead`);
    }
    if (target === 'sys' && room === 'vhost-user' && !isSocketFile(file.path)) {
      return says(
        'in vhost-user only connection* and server* touch the kernel: pass a port instead',
      );
    }
    return [];
  });
}

interface Ban {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Look at comments and strings too. */
  readonly raw?: boolean;
  readonly only?: RegExp;
}

const BANS: readonly Ban[] = [
  { pattern: /(?<!\.)\bany\b/, instead: 'any switches the checker off: use unknown and narrow it' },
  {
    pattern: /@ts-(ignore|nocheck|expect-error)/,
    instead: 'hiding a type error keeps it: make the type right',
    raw: true,
  },
  {
    pattern: /\bconsole\./,
    instead: 'console has no level and no owner: use the log of src/log.ts',
  },
  {
    pattern: /^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w/,
    instead: 'an enum is not erasable: use constants and codes()',
  },
  {
    pattern: /\bBigInt\(|\b(0x[\da-fA-F_]+|\d[\d_]*)n\b/,
    instead: 'a BigInt is an allocation for each request: use Numbers below 2^53',
    only: HOT_FILES,
  },
  {
    // Written so that this rule does not find itself.
    pattern: new RegExp(['', 'work', ''].join('/')),
    instead: 'a path of one machine is no path of another: derive it',
    raw: true,
  },
];

/** Sentences about banned words, each with what to use instead. */
export function banViolations(file: SourceFile): string[] {
  const raw = file.text.split('\n');
  const code = codeOf(file.text).split('\n');
  return BANS.filter(({ only }) => only?.test(file.path) ?? true).flatMap((ban) =>
    (ban.raw ? raw : code).flatMap((line, index) =>
      ban.pattern.test(line) ? [`${file.path}:${index + 1}: ${ban.instead}`] : [],
    ),
  );
}

/** Sentences about a missing header comment and about things that are too long. */
export function shapeViolations(file: SourceFile): string[] {
  const sentences: string[] = [];
  const body = file.text.replace(/^#!.*\n/, '');
  const header = /^\/\*\*[\s\S]*?\*\/|^(\/\/[^\n]*\n)+/.exec(body)?.[0] ?? '';
  const words = header.match(/[\w'-]+/g) ?? [];
  if (header.trim().split('\n').length < 2 || words.length < HEADER_WORDS_MIN) {
    sentences.push(
      `${file.path}: open with a comment of two lines or more: what it is, and its rules`,
    );
  }
  const lines = file.text.split('\n').length - 1;
  if (lines > FILE_LINES_MAX) {
    sentences.push(
      `${file.path}: ${lines} lines, at most ${FILE_LINES_MAX}: split it by what it knows`,
    );
  }
  for (const { name, line, length } of functionsOf(file)) {
    if (length <= FUNCTION_LINES_MAX) continue;
    sentences.push(
      `${file.path}:${line}: ${name} takes ${length} lines, at most ${FUNCTION_LINES_MAX}`,
    );
  }
  return sentences;
}

const FUNCTION_START =
  /^(\s*)(?:export\s+)?(?:default\s+)?(?:static\s+|override\s+|async\s+|get\s+|set\s+)*(?:function\*?\s+(\w+)|(#?\w+)(?=[<(]))/;
const KEYWORDS = ['if', 'for', 'while', 'switch', 'catch', 'return', 'new', 'await', 'super'];

/** Functions and methods by indentation, which the formatter guarantees. */
export function functionsOf({
  text,
}: SourceFile): Array<{ name: string; line: number; length: number }> {
  const lines = codeOf(text).split('\n');
  return lines.flatMap((line, start) => {
    const [, indent = '', named, method] = FUNCTION_START.exec(line) ?? [];
    const name = named ?? method;
    if (name === undefined || KEYWORDS.includes(name)) return [];
    // A signature ends with the brace that opens the body; a call ends otherwise.
    const opens = lines.findIndex(
      (later, at) =>
        at >= start &&
        /[{;,]$/.test(later.trimEnd()) &&
        (at === start || later.startsWith(`${indent})`)),
    );
    if (opens < 0 || !lines[opens]!.trimEnd().endsWith('{')) return [];
    // A method of an object literal ends with a comma.
    const ends = [`${indent}}`, `${indent}},`];
    const end = lines.findIndex((later, at) => at > opens && ends.includes(later.trimEnd()));
    return end < 0 ? [] : [{ name, line: start + 1, length: end - start + 1 }];
  });
}
