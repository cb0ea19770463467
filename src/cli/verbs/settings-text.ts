/**
 * What `vloop set` says: the settings that were asked for, as they are now, and what came with them. Pure.
 */

function valueText(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value);
}

/** `disk.img: direct-io off (switched off)`. `asked`: the params that were given. */
export function settingsText(
  status: Readonly<Record<string, unknown>> | null,
  disk: string,
  asked: readonly string[],
): string {
  const settings = asked.map((key) => {
    const reason = key === 'direct_io' ? ` (${String(status?.['direct_io_reason'])})` : '';
    return `${key.replaceAll('_', '-')} ${valueText(status?.[key])}${reason}`;
  });
  const moved = asked.includes('offset') || asked.includes('size_limit');
  const size = moved ? [`size ${String(status?.['size'])}`] : [];
  return `${disk}: ${[...settings, ...size].join(', ')}`;
}
