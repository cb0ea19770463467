/**
 * `vloop doctor [IMAGE]`: what this machine, and an image, let vloop do, what it will use, and what that means.
 */
import type { DoctorReport, Finding } from '../../control/schema/doctor-report.ts';
import { machineFindings } from '../doctor/findings.ts';
import { imageFindings } from '../doctor/image-findings.ts';
import { machineFacts } from '../doctor/machine-facts.ts';
import type { Verb } from './verb.ts';

export function doctorText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const lines = findings.flatMap(({ subject, level, says, means }) => [
    `${level.padEnd(7)}  ${subject.padEnd(width)}  ${says}`,
    `${' '.repeat(11 + width)}→ ${means}`,
  ]);
  return `${lines.join('\n')}\n`;
}

export const doctorVerb: Verb = {
  summary:
    'what this machine, and an image, let vloop do (status 1: something keeps it from working)',
  words: '[IMAGE]',
  options: {
    json: { value: null, short: 'J', meaning: 'as JSON' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run({ words: [image], values }) {
    const facts = machineFacts();
    const findings = machineFindings(facts);
    if (image !== undefined) findings.push(...imageFindings(image, facts));
    const well = findings.every(({ level }) => level !== 'problem');
    const report: DoctorReport = { well, findings };
    const json = values['json'] === true;
    process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : doctorText(findings));
    return well ? 0 : 1;
  },
};
