// Prometheus metrics on a registry of their own: nothing global, so that several agents fit in one test process.
// Names are checked by the type: docbus_…, base units, counters end in _total. No document names as labels: they never end.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export { Registry };
export type MetricName = `docbus_${string}`;
export type CounterName = `docbus_${string}_total`;
type Labels = Readonly<Record<string, string>>;

/** `labels` are on every metric, usually the replica. Includes the memory and processor time of this process under Prometheus' own names. */
export function createRegistry(labels: Labels): Registry {
  const registry = new Registry();
  registry.setDefaultLabels(labels);
  addProcessMetrics(registry);
  return registry;
}

/** `read` is asked at every scrape; a gauge without it is set by hand. */
export function createGauge<L extends string = never>(
  registry: Registry,
  options: { readonly name: MetricName; readonly help: string; readonly labels?: readonly L[]; readonly read?: () => number },
): Gauge<L> {
  const { name, help, labels = [], read } = options;
  const collect =
    read === undefined
      ? {}
      : {
          collect(this: Gauge<L>) {
            this.set(read());
          },
        };
  return new Gauge<L>({ name, help, labelNames: [...labels], registers: [registry], ...collect });
}

export function createCounter<L extends string = never>(
  registry: Registry,
  options: { readonly name: CounterName; readonly help: string; readonly labels?: readonly L[] },
): Counter<L> {
  const { name, help, labels = [] } = options;
  return new Counter<L>({ name, help, labelNames: [...labels], registers: [registry] });
}

/** `buckets` in the unit of the name, ascending. */
export function createHistogram<L extends string = never>(
  registry: Registry,
  options: { readonly name: MetricName; readonly help: string; readonly buckets: readonly number[]; readonly labels?: readonly L[] },
): Histogram<L> {
  const { name, help, buckets, labels = [] } = options;
  return new Histogram<L>({ name, help, buckets: [...buckets], labelNames: [...labels], registers: [registry] });
}

/** prom-client's own set would measure the event loop all the time; an agent at rest has to be at rest. */
function addProcessMetrics(registry: Registry): void {
  const memory = new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory size in bytes.',
    registers: [],
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  const processor = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Total user and system CPU time spent in seconds.',
    registers: [],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const started = new Gauge({
    name: 'process_start_time_seconds',
    help: 'Start time of the process since unix epoch in seconds.',
    registers: [],
  });
  started.set(Math.round(Date.now() / 1000 - process.uptime()));
  for (const metric of [memory, processor, started]) registry.registerMetric(metric);
}
