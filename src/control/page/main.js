/**
 * The page's beginning: signs in, connects, and looks at one disk again and again for as long as it is
 * open. Nothing is pushed that was not asked for, so a slow page costs vloop nothing.
 */
/** @import { LinkState } from './rpc.js' */
import { showDisk, showDiskList, showNoDisk } from './disk-head.js';
import { byId, setText } from './dom.js';
import { addEvent } from './events.js';
import { Rpc } from './rpc.js';
import { startTheme } from './theme.js';
import { askToken, takeToken } from './token.js';
import { diskView } from './wire.js';

const LOOK_EVERY_MS = 1000;
const LINK_WORDS = {
  connecting: 'connecting',
  open: 'live',
  waiting: 'vloop does not answer: trying again',
  refused: 'the token is wrong',
};

startTheme();
const link = byId('connection', HTMLElement);
let shown = new URLSearchParams(location.search).get('disk') ?? '';
let lastPid = 0;
let wasOpen = false;
let wasLost = false;

/** @param {LinkState} state */
function onLink(state) {
  // A short try in between is not told: the words would flicker.
  if (state !== 'connecting' || !wasLost) {
    link.dataset['state'] = state;
    setText(byId('connection-text', HTMLElement), LINK_WORDS[state]);
  }
  if (state === 'open') {
    if (!wasOpen || wasLost) addEvent(wasLost ? 'connected to vloop again' : 'connected to vloop');
    wasOpen = true;
    wasLost = false;
    onOpen().catch(() => {});
  } else {
    if (state === 'waiting' && wasOpen && !wasLost) {
      addEvent('the connection to vloop was lost', 'warn');
      wasLost = true;
    }
  }
  if (state === 'refused') {
    const problem = token === '' ? '' : 'That token is not the right one.';
    askToken(problem).then((given) => {
      token = given;
      rpc.useToken(given);
    });
  }
}

/** @param {string} name */
function choose(name) {
  shown = name;
  history.replaceState(null, '', `?disk=${encodeURIComponent(name)}`);
  void lookAtDisks();
}

async function lookAtDisks() {
  const disks = (await rpc.call('disk_list', {})).map(diskView);
  const disk = disks.find(({ name }) => name === shown) ?? disks[0];
  if (disk === undefined) {
    showNoDisk();
    return;
  }
  shown = disk.name;
  showDisk(disk);
  showDiskList(disks, shown, choose);
}

/**
 * Looks again and again, each time when the last look has been answered. What fails is looked at again:
 * the connection tells by itself when it is lost, and a disk may go between two looks.
 * @param {number} everyMs
 * @param {() => Promise<void>} look
 */
async function keepLooking(everyMs, look) {
  for (;;) {
    if (link.dataset['state'] === 'open' && !document.hidden) await look().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

async function onOpen() {
  const { pid } = await rpc.call('get_version', {});
  if (lastPid !== 0 && lastPid !== pid) addEvent(`vloop was started anew: process ${pid}`, 'warn');
  lastPid = pid;
  const methods = await rpc.call('rpc_get_methods', {});
  for (const element of document.querySelectorAll('[data-needs]')) {
    element.toggleAttribute('hidden', !methods.includes(element.getAttribute('data-needs') ?? ''));
  }
  await lookAtDisks().catch(() => {});
}

let token = takeToken();
const rpc = new Rpc(token, {
  state: onLink,
  notification: () => void lookAtDisks().catch(() => {}),
});
void rpc.connect();
void keepLooking(LOOK_EVERY_MS, lookAtDisks);
