/**
 * The parts of README.md that declarations render: `npm run docs` writes them between their markers, and
 * tests compare. A part is text between `<!-- name -->` and `<!-- /name -->`.
 */
import { readFileSync } from 'node:fs';
import { blkFeaturesMarkdown, ringFeaturesMarkdown } from '../../src/blk/virtio-features.ts';
import { optionsMarkdown } from '../../src/cli/option-text.ts';
import { methodsMarkdown } from '../../src/control/schema/methods-markdown.ts';
import { protocolFeaturesMarkdown } from '../../src/vhost-user/protocol-features.ts';

export const README = new URL('../../README.md', import.meta.url);

/** By marker, what stands there. */
export const README_PARTS: Readonly<Record<string, () => string>> = {
  options: optionsMarkdown,
  methods: methodsMarkdown,
  'protocol features': protocolFeaturesMarkdown,
  'ring features': ringFeaturesMarkdown,
  'disk features': blkFeaturesMarkdown,
};

function bounds(text: string, name: string): readonly [from: number, to: number] {
  const [start, end] = [`<!-- ${name} -->\n`, `\n<!-- /${name} -->`];
  const from = text.indexOf(start) + start.length;
  const to = text.indexOf(end);
  if (from < start.length || to < from) throw new Error(`README.md has no part "${name}"`);
  return [from, to];
}

/** What README.md says in a part. */
export function readmePart(name: string): string {
  const text = readFileSync(README, 'utf8');
  return text.slice(...bounds(text, name));
}

/** README.md with every part as the declarations have it now. */
export function renderedReadme(): string {
  let text = readFileSync(README, 'utf8');
  for (const [name, render] of Object.entries(README_PARTS)) {
    const [from, to] = bounds(text, name);
    text = `${text.slice(0, from)}${render()}${text.slice(to)}`;
  }
  return text;
}
