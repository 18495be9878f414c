import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace";
import type { OtlpTracesOptions } from "../otlp/otlp-options.ts";
import { watchedExport } from "../otlp/watched-export.ts";
import type { SinkHealth } from "../sinks/sink-health.ts";

/** Ended spans on their way to the exporter: bounded, and what has no room is counted, which the library does not. */
export class SpanQueue implements SpanProcessor {
  readonly #health: SinkHealth;
  readonly #maxQueueSize: number;
  readonly #batches: BatchSpanProcessor;
  #waiting = 0;

  constructor(exporter: SpanExporter, options: OtlpTracesOptions, health: SinkHealth) {
    const { maxQueueSize, maxBatchSize, delayMs, timeoutMs } = options;
    this.#health = health;
    this.#maxQueueSize = maxQueueSize;
    const send = watchedExport(exporter, { health, timeoutMs, lostWith: (spans) => spans.length });
    this.#batches = new BatchSpanProcessor({
      exporter: {
        export: (spans: ReadableSpan[], done) => {
          this.#waiting -= spans.length;
          send(spans, done);
        },
        shutdown: () => exporter.shutdown(),
      },
      maxQueueSize,
      maxExportBatchSize: maxBatchSize,
      scheduledDelayMillis: delayMs,
      exportTimeoutMillis: timeoutMs,
    });
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= this.#maxQueueSize) {
      this.#health.dropped(1);
      return;
    }
    this.#waiting++;
    this.#batches.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown();
  }
}
