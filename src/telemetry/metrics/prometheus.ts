import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import type { MetricProducer } from "@opentelemetry/sdk-metrics";

/** No timestamps, no labels of the resource, no `target_info`, no scope: Prometheus names its targets itself. */
const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);

/** Everything in the text format of Prometheus. */
export async function prometheusText(producer: MetricProducer): Promise<string> {
  const { resourceMetrics } = await producer.collect();
  return `${serializer.serialize(resourceMetrics).trim()}\n`;
}
