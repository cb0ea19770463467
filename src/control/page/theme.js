/**
 * Light and dark: the system's choice until the button says otherwise, which this browser remembers.
 * Canvases cannot use CSS variables, so they ask here for colours and are told when those change.
 */
import { byId } from './dom.js';

/** @typedef {'system' | 'light' | 'dark'} Theme */

const KEY = 'vloop.theme';
const ORDER = /** @type {const} */ (['system', 'light', 'dark']);
const WORDS = { system: 'as the system', light: 'light', dark: 'dark' };
const system = window.matchMedia('(prefers-color-scheme: dark)');
/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {Map<string, string>} */
const known = new Map();

/** @returns {Theme} */
function chosen() {
  const stored = localStorage.getItem(KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

function apply() {
  const choice = chosen();
  const dark = choice === 'dark' || (choice === 'system' && system.matches);
  const button = byId('theme', HTMLButtonElement);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
  button.setAttribute('aria-label', `Colours: ${WORDS[choice]}`);
  button.title = `Colours: ${WORDS[choice]}`;
  known.clear();
  for (const listener of listeners) listener();
}

export const isDark = () => document.documentElement.dataset['theme'] === 'dark';

/**
 * A colour of the theme, as #rrggbb.
 * @param {string} name of a CSS variable, without the dashes
 */
export function colour(name) {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    known.set(name, value);
  }
  return value;
}

/**
 * Red, green and blue of a colour of the theme.
 * @param {string} name
 * @returns {[number, number, number]}
 */
export function channels(name) {
  const hex = Number.parseInt(colour(name).slice(1), 16);
  return [(hex >> 16) & 255, (hex >> 8) & 255, hex & 255];
}

/** The page's font, for canvases. */
export const canvasFont = () => `12px ${getComputedStyle(document.body).fontFamily}`;

/** @param {() => void} listener called when the colours have changed */
export function onTheme(listener) {
  listeners.add(listener);
}

export function startTheme() {
  system.addEventListener('change', apply);
  byId('theme', HTMLButtonElement).addEventListener('click', () => {
    const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length] ?? 'system';
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    apply();
  });
  apply();
}
