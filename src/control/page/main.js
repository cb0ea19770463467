/**
 * The page's beginning: signs in, connects, and looks at one disk again and again for as long as it is
 * open. One look asks for status, counters and block map; nothing is pushed that was not asked for, so a slow
 * page costs vloop nothing.
 */
/** @import { LinkState } from './rpc.js' */
import { Actions } from './actions.js';
import { BlockMap } from './block-map.js';
import { showDisk, showDiskList, showNoDisk } from './disk-head.js';
import { byId, setText } from './dom.js';
import { addEvent } from './events.js';
import { Load } from './load.js';
import { Rpc } from './rpc.js';
import { startTheme } from './theme.js';
import { askToken, takeToken } from './token.js';
import { diskView, eventText, lookOf, mapCounts } from './wire.js';

const LOOK_EVERY_MS = 1000;
/** The map is looked at in between as well: a light that comes a second late is no light. */
const MAP_EVERY_MS = 500;
const LINK_WORDS = {
  connecting: 'connecting',
  open: 'live',
  waiting: 'vloop does not answer: trying again',
  refused: 'the token is wrong',
};

startTheme();
const load = new Load();
const map = new BlockMap();
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
    actions.show(null);
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
  load.clear();
  map.clear();
  history.replaceState(null, '', `?disk=${encodeURIComponent(name)}`);
  void lookAtDisks().then(lookAtLoad).then(lookAtMap);
}

async function lookAtDisks() {
  const disks = (await rpc.call('disk_list', {})).map(diskView);
  const disk = disks.find(({ name }) => name === shown) ?? disks[0];
  if (disk === undefined) {
    showNoDisk();
    actions.show(null);
    return;
  }
  if (disk.name !== shown) {
    shown = disk.name;
    load.clear();
    map.clear();
  }
  showDisk(disk);
  showDiskList(disks, shown, choose);
  actions.show(disk);
}

async function lookAtLoad() {
  const name = shown;
  const stats = await rpc.call('disk_get_stats', { disk: name });
  if (name === shown) load.add(lookOf(stats));
}

async function lookAtMap() {
  const name = shown;
  const counts = await rpc.call('disk_get_block_map', { disk: name });
  if (name === shown) map.set(mapCounts(counts));
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
  await rpc.call('subscribe', {});
  await lookAtDisks();
}

let token = takeToken();
const rpc = new Rpc(token, {
  state: onLink,
  notification(method, params) {
    const { text, weight } = eventText(method, params);
    addEvent(text, weight);
    void lookAtDisks().catch(() => {});
  },
});
const actions = new Actions(rpc, () => void lookAtDisks().catch(() => {}));
void rpc.connect();
void keepLooking(LOOK_EVERY_MS, async () => {
  await lookAtDisks();
  await lookAtLoad();
});
void keepLooking(MAP_EVERY_MS, lookAtMap);
