/**
 * The completion of bash, from the tables: verbs, their options, the words that values may be, files, and the names
 * of the disks that are served. Works without the bash-completion package.
 */
import { type CommandText, isPath, valueWords } from './commands.ts';

function optionWords({ options }: CommandText): string {
  const words = Object.entries(options).map(([name, { value }]) => {
    return value === null ? `--${name}` : `--${name}=`;
  });
  return words.join(' ');
}

function valueAction(value: string): string {
  const words = valueWords(value);
  if (words.length > 0) return `_vloop_words '${words.join(' ')}'`;
  return isPath(value) ? '_vloop_files' : ':';
}

/** How a value is completed, by verb and option: `set --direct-io` takes other words than `serve --direct-io`. */
function valueCases(commands: readonly CommandText[]): string[] {
  const places = new Map<string, string[]>();
  for (const { name: verb, options } of commands) {
    for (const [name, { value }] of Object.entries(options)) {
      if (value === null) continue;
      const action = valueAction(value);
      places.set(action, [...(places.get(action) ?? []), `${verb}\\ --${name}`]);
    }
  }
  return [...places].map(([action, verbs]) => `    ${verbs.join(' | ')}) ${action} ;;`);
}

function wordAction({ words }: CommandText): string {
  if (/\bDISK\b/.test(words)) return '_vloop_disks';
  if (/bash\|/.test(words)) return `_vloop_words '${words.split('|').join(' ')}'`;
  return isPath(words) ? '_vloop_files' : ':';
}

export function bashCompletion(commands: readonly CommandText[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  const optionCases = commands.map((command) => {
    return `    ${command.name}) _vloop_words '${optionWords(command)}' ;;`;
  });
  const wordCases = commands.map((command) => `    ${command.name}) ${wordAction(command)} ;;`);
  return `# bash completion of vloop: source it, or put it into /usr/share/bash-completion/completions/vloop
# Made by "vloop completion bash".

_vloop_words() {
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
  [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace
}

_vloop_files() {
  compopt -o filenames
  local IFS=$'\\n'
  COMPREPLY=($(compgen -f -- "$cur"))
}

_vloop_disks() {
  _vloop_words "$("\${COMP_WORDS[0]}" list --raw --noheadings --output=NAME 2>/dev/null)"
}

_vloop_value() {
  case "$verb $1" in
${valueCases(commands).join('\n')}
  esac
}

_vloop() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} verb=serve
  [[ $COMP_CWORD -gt 1 && \${COMP_WORDS[1]} != -* ]] && verb=\${COMP_WORDS[1]}
  COMPREPLY=()
  # "=" breaks words: --name=value comes as three of them.
  if [[ $cur == = ]]; then
    cur=
    _vloop_value "$prev"
  elif [[ $prev == = ]]; then
    _vloop_value "\${COMP_WORDS[COMP_CWORD - 2]}"
  elif [[ $cur == -* ]]; then
    case $verb in
${optionCases.join('\n')}
    esac
  elif [[ $COMP_CWORD -eq 1 ]]; then
    _vloop_words '${names}'
  else
    case $verb in
${wordCases.join('\n')}
    esac
  fi
}

complete -F _vloop vloop
`;
}
