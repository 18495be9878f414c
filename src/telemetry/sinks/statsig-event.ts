import type { Tags } from "../metrics/series.ts";
import type { Measurement } from "./measurement.ts";

/** What is logged as one event; metadata are texts, as Statsig takes them. */
export interface StatsigEvent {
  readonly eventName: string;
  readonly value: number;
  readonly metadata: Record<string, string>;
}

/** A measurement as one event, however much was measured. Tags that are measured go before those that were given. */
export function statsigEvent(measurement: Measurement, given: Tags): StatsigEvent {
  const { name: eventName } = measurement;
  const tags = Object.entries(measurement.tags).filter(([, value]) => value !== "");
  const metadata = { ...given, ...Object.fromEntries(tags) };
  if (measurement.kind !== "latency") return { eventName, value: measurement.value, metadata };
  const { values, seen } = measurement;
  const sum = values.reduce((total, value) => total + value, 0);
  const min = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const max = values.reduce((most, value) => Math.max(most, value), 0);
  return {
    eventName,
    value: rounded(sum / values.length),
    metadata: { ...metadata, count: String(seen), min: String(rounded(min)), max: String(rounded(max)) },
  };
}

/** To microseconds. */
const rounded = (ms: number) => Number(ms.toFixed(3));
