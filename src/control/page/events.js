/**
 * What has happened, the newest first: events of the disks, and of this page's own connection.
 */
import { byId, make } from './dom.js';

const EVENTS_MAX = 200;

/** @typedef {'plain' | 'warn' | 'bad'} Weight */

/**
 * @param {string} text
 * @param {Weight} weight
 * @param {Date} at
 */
export function addEvent(text, weight = 'plain', at = new Date()) {
  const list = byId('events', HTMLOListElement);
  const time = make('time', { datetime: at.toISOString() }, at.toLocaleTimeString('en-GB'));
  list.prepend(make('li', {}, time, make('span', { class: weight }, text)));
  while (list.children.length > EVENTS_MAX) list.lastElementChild?.remove();
}
