/**
 * The disk's name, state and settings, what its session negotiated, and the list of disks to choose from.
 */
/** @import { DiskView } from './wire.js' */
import { byId, make, setText } from './dom.js';

const name = byId('disk-name', HTMLElement);
const state = byId('disk-state', HTMLElement);
const facts = byId('facts', HTMLElement);
const features = byId('features', HTMLElement);
const list = byId('disks', HTMLElement);

/**
 * Replaces the children when what they say has changed: what is selected or focused stays so otherwise.
 * @param {HTMLElement} parent
 * @param {string} text what they say
 * @param {() => (Node | string)[]} children
 */
function replaceWhenOther(parent, text, children) {
  if (parent.dataset['says'] === text) return;
  parent.dataset['says'] = text;
  parent.replaceChildren(...children());
}

/** @param {DiskView} disk */
export function showDisk(disk) {
  document.title = `${disk.name} – vloop`;
  setText(name, disk.name);
  setText(state, disk.stateWord);
  state.dataset['state'] = disk.state;
  replaceWhenOther(facts, JSON.stringify(disk.facts), () =>
    disk.facts.map(([term, text]) => make('div', {}, make('dt', {}, term), make('dd', {}, text))),
  );
  replaceWhenOther(features, JSON.stringify(disk.features), () =>
    disk.features.length === 0
      ? [make('p', {}, 'No front-end is connected.')]
      : disk.features.map((each) => make('span', {}, each)),
  );
}

/** No disk: none is served, or the one that was shown has gone. */
export function showNoDisk() {
  document.title = 'vloop';
  setText(name, 'No disk');
  setText(state, 'gone');
  state.dataset['state'] = 'gone';
}

/**
 * A button a disk, when there is more than one.
 * @param {readonly DiskView[]} disks
 * @param {string} shown
 * @param {(name: string) => void} choose
 */
export function showDiskList(disks, shown, choose) {
  const names = disks.length > 1 ? disks.map((disk) => disk.name) : [];
  replaceWhenOther(list, JSON.stringify([names, shown]), () =>
    names.map((each) => {
      const current = each === shown ? { 'aria-current': 'true' } : {};
      const button = make('button', { type: 'button', ...current }, each);
      button.addEventListener('click', () => choose(each));
      return button;
    }),
  );
}
