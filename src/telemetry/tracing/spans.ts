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

/** The result of an operation, as attributes of its span. */
export interface SpanOutcome {
  readonly attributes: Attributes;
  /** The error message if the operation failed. Must not contain an SDK key. */
  readonly error?: string | undefined;
}

interface SpanOptions<T> {
  readonly name: string;
  readonly kind?: SpanKind;
  readonly attributes: Attributes;
  readonly ending?: (result: T) => SpanOutcome;
}

/** Creates spans around operations. A span is the parent of all spans that begin within it. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #contexts: AsyncLocalStorageContextManager;
  readonly #propagator = new W3CTraceContextPropagator();

  constructor(tracer: Tracer, contexts: AsyncLocalStorageContextManager) {
    this.#tracer = tracer;
    this.#contexts = contexts;
  }

  /** The current context, for work that continues outside of it. */
  get active(): Context {
    return this.#contexts.active();
  }

  /** The context of the client whose request is in progress; the root context if the client sent none. */
  get clientContext(): Context {
    const headers = currentTrace();
    if (headers === undefined) return ROOT_CONTEXT;
    return this.#propagator.extract(ROOT_CONTEXT, { ...headers }, defaultTextMapGetter);
  }

  async within<T>(parent: Context, options: SpanOptions<T>, work: () => Promise<T>): Promise<T> {
    const { name, kind = SpanKind.INTERNAL, attributes, ending } = options;
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent);
    try {
      const result = await this.#contexts.with(trace.setSpan(parent, span), work);
      if (ending !== undefined) setOutcome(span, ending(result));
      return result;
    } catch (error) {
      setOutcome(span, { attributes: {}, error: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
    }
  }

  /** Runs the work in a child span of the current span, or of the client's span if there is no current one. */
  inner<T>(options: SpanOptions<T>, work: () => Promise<T>): Promise<T> {
    const { active } = this;
    return this.within(trace.getSpan(active) === undefined ? this.clientContext : active, options, work);
  }

  /** Returns the headers that make the spans of upstream children of the current span. */
  headers(): TraceHeaders | undefined {
    const headers: Record<string, string> = {};
    this.#propagator.inject(this.active, headers, defaultTextMapSetter);
    const { traceparent, tracestate } = headers;
    if (traceparent === undefined) return currentTrace();
    return tracestate ? { traceparent, tracestate } : { traceparent };
  }
}

function setOutcome(span: Span, { attributes, error }: SpanOutcome): void {
  span.setAttributes(attributes);
  if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
}

/** Creates the sampler that `OTEL_TRACES_SAMPLER` names. The library does not read that variable itself. */
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

/** A bounded queue of ended spans for the exporter. Counts dropped spans, which the library does not. */
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
