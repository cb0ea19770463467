/**
 * Huge pages of 2 MiB for a test. Where the machine keeps none free they are set aside for as long as the
 * test runs, which takes root; else the reason why there are none.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB';

export type HugePages = { ok: true; giveBack(): void } | { ok: false; reason: string };

function read(file: string): number {
  return Number(readFileSync(`${POOL}/${file}`, 'latin1'));
}

export function takeHugePages(count: number): HugePages {
  try {
    const free = read('free_hugepages') - read('resv_hugepages');
    if (free >= count) return { ok: true, giveBack() {} };
    const before = read('nr_hugepages');
    const set = (pages: number) => writeFileSync(`${POOL}/nr_hugepages`, `${pages}`);
    set(before + count - free);
    if (read('free_hugepages') - read('resv_hugepages') >= count) {
      return { ok: true, giveBack: () => set(before) };
    }
    set(before);
    return { ok: false, reason: `the machine cannot set ${count} huge pages aside` };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
