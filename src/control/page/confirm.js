/**
 * The question before anything is changed, as a modal dialog: what will happen, and the refusal in words when
 * there is one; the dialog stays open then.
 */
import { byId, setText } from './dom.js';

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} yes
 * @property {() => Promise<unknown>} act
 */

const dialog = byId('confirm', HTMLDialogElement);
const yes = byId('confirm-yes', HTMLButtonElement);
const error = byId('confirm-error', HTMLElement);

/**
 * Resolves when it has been done, or was not wanted.
 * @param {Question} question
 * @returns {Promise<boolean>} whether it was done
 */
export function confirm({ title, text, yes: word, act }) {
  setText(byId('confirm-title', HTMLElement), title);
  setText(byId('confirm-text', HTMLElement), text);
  setText(yes, word);
  setText(error, '');
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === 'done');
    dialog.onsubmit = (event) => {
      event.preventDefault();
      setText(error, '');
      yes.disabled = true;
      act()
        .then(
          () => dialog.close('done'),
          (problem) => setText(error, problem.message),
        )
        .finally(() => {
          yes.disabled = false;
        });
    };
    byId('confirm-no', HTMLButtonElement).onclick = () => dialog.close('no');
    dialog.returnValue = 'no';
    dialog.showModal();
  });
}
