/**
 * What `vloop doctor --json` prints: one finding for each thing that vloop depends on.
 */
import { recordOf, type ValueOf } from './json-schema.ts';

export const doctorReport = recordOf({
  well: { type: 'boolean', description: 'nothing keeps vloop from working' },
  findings: {
    type: 'array',
    items: recordOf({
      subject: { type: 'string', description: 'what was looked at' },
      level: {
        enum: ['ok', 'note', 'problem'],
        description: 'note: it works, less well or not for everybody; problem: it does not',
      },
      says: { type: 'string', description: 'what was found' },
      means: { type: 'string', description: 'what vloop does about it, and what can be done' },
    }),
  },
});

export type DoctorReport = ValueOf<typeof doctorReport>;
export type Finding = DoctorReport['findings'][number];
