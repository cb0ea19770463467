/**
 * The completions of zsh and fish, from the same tables as bash's.
 */
import { type CommandText, isPath, valueWords } from './commands.ts';

const DISK_NAMES = 'vloop list --raw --noheadings --output=NAME 2>/dev/null';

/** In single quotes, where only they end it. */
function zshText(text: string): string {
  return text.replace(/[[\]:]/g, '\\$&').replaceAll("'", "'\\''");
}

function zshAction(value: string): string {
  const words = valueWords(value);
  if (words.length > 0) return `(${words.join(' ')})`;
  return isPath(value) ? '_files' : '';
}

function zshWords(words: string): string[] {
  if (/\bDISK\b/.test(words)) return [`'*:disk:_vloop_disks'`];
  if (/bash\|/.test(words)) return [`'1:shell:(${words.split('|').join(' ')})'`];
  return isPath(words) ? [`'*:file:_files'`] : [];
}

function zshCase({ name, words, options }: CommandText): string {
  const specs = Object.entries(options).map(([option, { value, meaning }]) => {
    const told = `[${zshText(meaning)}]`;
    return value === null
      ? `'--${option}${told}'`
      : `'--${option}=${told}:${zshText(value)}:${zshAction(value)}'`;
  });
  const lines = [...specs, ...zshWords(words)].map((spec) => `        ${spec}`);
  return [`    ${name})`, '      _arguments \\', lines.join(' \\\n'), '      ;;'].join('\n');
}

export function zshCompletion(commands: readonly CommandText[]): string {
  const described = commands.map(({ name, summary }) => `    '${name}:${zshText(summary)}'`);
  return `#compdef vloop
# zsh completion of vloop: put it into a directory of $fpath as _vloop. Made by "vloop completion zsh".

_vloop_disks() {
  local -a disks
  disks=(\${(f)"$(${DISK_NAMES})"})
  _describe 'disk' disks
}

_vloop() {
  local -a commands
  commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe 'command' commands
    return
  fi
  local verb=serve
  if [[ $words[2] != -* ]]; then
    verb=$words[2]
    words=($words[1] $words[3,-1])
    (( CURRENT-- ))
  fi
  case $verb in
${commands.map(zshCase).join('\n')}
  esac
}

compdef _vloop vloop
`;
}

function fishText(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function fishValue(value: string | null): string {
  if (value === null) return '';
  const words = valueWords(value);
  if (words.length > 0) return ` -x -a ${fishText(words.join(' '))}`;
  return isPath(value) ? ' -r' : ' -x';
}

function fishLines({ name, summary, words, options }: CommandText): string[] {
  const here = `complete -c vloop -n '__fish_seen_subcommand_from ${name}'`;
  const rows = Object.entries(options).map(([option, { value, meaning, short }]) => {
    const letter = short === undefined ? '' : ` -s ${short}`;
    return `${here} -l ${option}${letter}${fishValue(value)} -d ${fishText(meaning)}`;
  });
  const disks = /\bDISK\b/.test(words) ? [`${here} -f -a '(${DISK_NAMES})'`] : [];
  const files = isPath(words) ? [`${here} -F`] : [];
  const shells = /bash\|/.test(words) ? [`${here} -f -a '${words.split('|').join(' ')}'`] : [];
  const verb = `complete -c vloop -n __fish_use_subcommand -f -a ${name} -d ${fishText(summary)}`;
  return [verb, ...rows, ...disks, ...files, ...shells];
}

export function fishCompletion(commands: readonly CommandText[]): string {
  return [
    '# fish completion of vloop: put it into ~/.config/fish/completions/vloop.fish.',
    '# Made by "vloop completion fish".',
    ...commands.flatMap(fishLines),
    '',
  ].join('\n');
}
