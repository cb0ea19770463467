/**
 * The verbs by name alone, for the entry of the program, which loads the rest of them only when it needs to.
 */
export const VERB_NAMES = [
  'list',
  'status',
  'resize',
  'set',
  'change-file',
  'quiesce',
  'resume',
  'detach',
  'stats',
  'why',
  'top',
  'trace',
  'doctor',
  'install-discovery',
  'rpc',
  'attach',
  'daemon',
  'save-config',
  'load-config',
  'completion',
] as const;
