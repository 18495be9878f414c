import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";
import { currentTrace, type TraceHeaders } from "../../platform/trace-context.ts";
import { watchedExport } from "../otlp/export.ts";
import type { OtlpTracesOptions } from "../otlp/options.ts";
import type { SinkHealth } from "../push/sink-health.ts";

/** The result of the work inside a span. */
export interface SpanOutcome {
  readonly attributes: Attributes;
  /** Why the work failed. Must not contain an SDK key. */
  readonly error?: string | undefined;
}

interface SpanOptions<T> {
  readonly name: string;
  readonly kind?: SpanKind;
  readonly attributes: Attributes;
  /** Describes the result. A span without it has no outcome, unless the work throws. */
  readonly describe?: (result: T) => SpanOutcome;
}

/** Creates spans. A span that starts inside the work of another is its child. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #contexts: AsyncLocalStorageContextManager;
  readonly #propagator = new W3CTraceContextPropagator();

  constructor(tracer: Tracer, contexts: AsyncLocalStorageContextManager) {
    this.#tracer = tracer;
    this.#contexts = contexts;
  }

  /** The context of the running work, for work that continues elsewhere. */
  get active(): Context {
    return this.#contexts.active();
  }

  /** The trace of the client whose request is handled, or the root of a new trace. */
  get fromClient(): Context {
    const headers = currentTrace();
    if (headers === undefined) return ROOT_CONTEXT;
    return this.#propagator.extract(ROOT_CONTEXT, { ...headers }, defaultTextMapGetter);
  }

  /** Runs `work` in a new span, a child of `parent`. Settles as `work` does. */
  async within<T>(parent: Context, options: SpanOptions<T>, work: () => Promise<T>): Promise<T> {
    const { name, kind = SpanKind.INTERNAL, attributes, describe } = options;
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent);
    try {
      const result = await this.#contexts.with(trace.setSpan(parent, span), work);
      if (describe !== undefined) record(span, describe(result));
      return result;
    } catch (error) {
      record(span, { attributes: {}, error: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
    }
  }

  /** Runs `work` in a new span, a child of the running work or, if there is none, of the client's trace. */
  inner<T>(options: SpanOptions<T>, work: () => Promise<T>): Promise<T> {
    const { active } = this;
    return this.within(trace.getSpan(active) === undefined ? this.fromClient : active, options, work);
  }

  /** Headers for upstream, whose spans become children of the active span. */
  headers(): TraceHeaders | undefined {
    const headers: Record<string, string> = {};
    this.#propagator.inject(this.active, headers, defaultTextMapSetter);
    const { traceparent, tracestate } = headers;
    if (traceparent === undefined) return currentTrace();
    return tracestate ? { traceparent, tracestate } : { traceparent };
  }
}

function record(span: Span, { attributes, error }: SpanOutcome): void {
  span.setAttributes(attributes);
  if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
}

/** Returns the sampler that OTEL_TRACES_SAMPLER names. The library does not read this variable. */
export function createSampler({ sampler, ratio }: Pick<OtlpTracesOptions, "sampler" | "ratio">): Sampler {
  switch (sampler) {
    case "always_on":
      return new AlwaysOnSampler();
    case "always_off":
      return new AlwaysOffSampler();
    case "traceidratio":
      return new TraceIdRatioBasedSampler(ratio);
    case "parentbased_always_on":
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case "parentbased_always_off":
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case "parentbased_traceidratio":
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
  }
}

/** A bounded queue of ended spans. Counts the spans that it drops, which the library's own queue does not. */
export class SpanQueue implements SpanProcessor {
  readonly #health: SinkHealth;
  readonly #maxQueueSize: number;
  readonly #batches: BatchSpanProcessor;
  #waiting = 0;

  constructor(exporter: SpanExporter, options: OtlpTracesOptions, health: SinkHealth) {
    const { maxQueueSize, maxBatchSize, delayMs, timeoutMs } = options;
    this.#health = health;
    this.#maxQueueSize = maxQueueSize;
    const send = watchedExport(exporter, { health, timeoutMs, countLost: (spans) => spans.length });
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
