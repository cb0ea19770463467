// vloop as a library: this program serves a disk, says what happens to it, and ends the disk when it is told to.
//   npm install vloop && node library.mjs disk.img disk.sock    (in a clone: make build, once, instead of the install)
import { createDisk } from 'vloop';

const say = (text) => process.stdout.write(`${text}\n`);

const [file, socketPath] = process.argv.slice(2);
if (socketPath === undefined) {
  process.stderr.write('usage: node library.mjs IMAGE SOCKET\n');
  process.exit(2);
}

const disk = await createDisk({ file, socketPath, num_queues: 4, direct_io: 'auto' });
disk.events(({ name, params }) => say(`${name} ${JSON.stringify(params)}`));

const { size, direct_io, engine } = await disk.status();
say(
  `serving ${disk.name} at ${disk.socketPath}: ${size} bytes, ${direct_io ? 'direct' : 'buffered'}, ${engine}`,
);

// Signals are the program's business, not the library's.
process.once('SIGTERM', async () => {
  await disk.close();
  say('closed');
});
await disk.ended;
