/**
 * The token: taken out of the address (behind the #, which browsers send nowhere) and kept for this tab.
 * Not a cookie: a browser would send that to every other port of this machine as well.
 */
import { byId, setText } from './dom.js';

const KEY = 'vloop.token';

/** The token of the address or of this tab, or an empty string. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given !== null) {
    sessionStorage.setItem(KEY, given);
    // Out of the address bar, the history and the next screenshot.
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem(KEY) ?? '';
}

/**
 * Asks for a token until there is one that has the form of one.
 * @param {string} problem what was wrong with the last one
 * @returns {Promise<string>}
 */
export function askToken(problem) {
  const dialog = byId('sign-in', HTMLDialogElement);
  const input = byId('sign-in-token', HTMLInputElement);
  const error = byId('sign-in-error', HTMLElement);
  setText(error, problem);
  return new Promise((resolve) => {
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onsubmit = (event) => {
      event.preventDefault();
      // The whole link will do as well.
      const token = /[\w-]{43}$/.exec(input.value.trim())?.[0];
      if (token === undefined) {
        setText(error, 'A token has 43 letters, digits, - or _.');
        return;
      }
      sessionStorage.setItem(KEY, token);
      input.value = '';
      dialog.close();
      resolve(token);
    };
    if (!dialog.open) dialog.showModal();
  });
}
