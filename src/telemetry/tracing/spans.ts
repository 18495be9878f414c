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
import type { SinkHealth } from "../push/channel.ts";

/** What a piece of work came to. */
export interface SpanOutcome {
  readonly attributes: Attributes;
  /** Why it is a failure, for people: no SDK key may be in it. */
  readonly error?: string | undefined;
}

interface SpanOptions<T> {
  readonly name: string;
  readonly kind?: SpanKind;
  readonly attributes: Attributes;
  readonly ending?: (result: T) => SpanOutcome;
}

/** Spans around pieces of work, each the parent of those that begin within it. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #contexts: AsyncLocalStorageContextManager;
  readonly #propagator = new W3CTraceContextPropagator();

  constructor(tracer: Tracer, contexts: AsyncLocalStorageContextManager) {
    this.#tracer = tracer;
    this.#contexts = contexts;
  }

  /** What is being done right now, for work that goes on elsewhere. */
  get active(): Context {
    return this.#contexts.active();
  }

  /** Of the client whose request is being worked on; a new trace where there is none. */
  get carried(): Context {
    const carried = currentTrace();
    if (carried === undefined) return ROOT_CONTEXT;
    return this.#propagator.extract(ROOT_CONTEXT, { ...carried }, defaultTextMapGetter);
  }

  async within<T>(parent: Context, options: SpanOptions<T>, work: () => Promise<T>): Promise<T> {
    const { name, kind = SpanKind.INTERNAL, attributes, ending } = options;
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent);
    try {
      const result = await this.#contexts.with(trace.setSpan(parent, span), work);
      if (ending !== undefined) note(span, ending(result));
      return result;
    } catch (error) {
      note(span, { attributes: {}, error: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
    }
  }

  /** Of what is being done right now, or of the client's trace. */
  inner<T>(options: SpanOptions<T>, work: () => Promise<T>): Promise<T> {
    const { active } = this;
    return this.within(trace.getSpan(active) === undefined ? this.carried : active, options, work);
  }

  /** By which upstream makes its spans the children of the one that is active. */
  headers(): TraceHeaders | undefined {
    const headers: Record<string, string> = {};
    this.#propagator.inject(this.active, headers, defaultTextMapSetter);
    const { traceparent, tracestate } = headers;
    if (traceparent === undefined) return currentTrace();
    return tracestate ? { traceparent, tracestate } : { traceparent };
  }
}

function note(span: Span, { attributes, error }: SpanOutcome): void {
  span.setAttributes(attributes);
  if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
}

/** Which traces are recorded; the library leaves it to us to read what `OTEL_TRACES_SAMPLER` names. */
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
