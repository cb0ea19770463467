/**
 * `vloop completion`: what a shell needs to complete vloop's command lines.
 */
import { OptionsError } from '../option-values.ts';
import type { Verb } from './verb.ts';

const SHELLS = ['bash', 'zsh', 'fish'];

export const completionVerb: Verb = {
  summary: 'print the completion of a shell (bash: source <(vloop completion bash))',
  words: SHELLS.join('|'),
  options: { help: { value: null, short: 'h', meaning: 'print this, and exit' } },
  async run({ words: [shell = ''] }) {
    const { commandTexts } = await import('../text/commands.ts');
    const { bashCompletion } = await import('../text/completion-bash.ts');
    const { fishCompletion, zshCompletion } = await import('../text/completion-others.ts');
    const commands = commandTexts();
    if (shell === 'bash') process.stdout.write(bashCompletion(commands));
    else if (shell === 'zsh') process.stdout.write(zshCompletion(commands));
    else if (shell === 'fish') process.stdout.write(fishCompletion(commands));
    else throw new OptionsError(`completion: ${shell}: expected one of ${SHELLS.join(', ')}`);
    return 0;
  },
};
