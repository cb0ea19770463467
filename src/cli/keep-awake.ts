/**
 * `--cpu-latency-us`: the machine's idle CPUs stay awake while disks of this process are busy. See
 * worker/wake-latency.ts for when that is.
 */
import { CPU_LATENCY_ANY_US, CPU_LATENCY_DEVICE, CpuLatencyRequest } from '../sys/cpu-latency.ts';
import { WorkerError } from '../worker/loop-workers.ts';
import { LOOK_EVERY_MS, WakeLatency } from '../worker/wake-latency.ts';
import type { ServedDisk } from './served-disk.ts';

/** Throws WorkerError when the kernel's device is not there or not for us. */
export function openCpuLatency(latencyUs: number | null): CpuLatencyRequest | null {
  if (latencyUs === null) return null;
  try {
    return new CpuLatencyRequest();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new WorkerError(
      `--cpu-latency-us=${latencyUs}: cannot open ${CPU_LATENCY_DEVICE} (${code}); it takes root`,
    );
  }
}

/** Keeps CPUs awake while disks are busy. */
export function keepAwake(
  request: CpuLatencyRequest,
  latencyUs: number,
  disks: readonly ServedDisk[],
) {
  const answered = () => disks.reduce((sum, { open }) => sum + open.disk.answeredRequests(), 0);
  const latency = new WakeLatency(request, latencyUs, CPU_LATENCY_ANY_US, answered);
  setInterval(() => latency.look(), LOOK_EVERY_MS).unref();
}
