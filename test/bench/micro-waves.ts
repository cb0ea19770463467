/**
 * Waves of one subject of the micro-benchmark and nothing else: what micro-instructions.ts counts.
 * Usage: node micro-waves.ts SUBJECT WAVES; prints the requests of a wave.
 */
import { makeSubjects } from './micro-subjects.ts';

const [, , name, waves] = process.argv;
const subject = makeSubjects().find((candidate) => candidate.name === name);
if (subject === undefined) throw new Error(`no subject ${name}`);
for (let i = 0; i < Number(waves); i++) subject.wave();
process.stdout.write(`${subject.count}\n`);
