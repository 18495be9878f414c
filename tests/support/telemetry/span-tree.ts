import { eventually } from "../common/wait.ts";
import type { SpanRecord } from "./otlp-messages.ts";
import type { OtlpReceiver } from "./otlp-receiver.ts";

/** The spans of one trace as a tree. */
export class SpanTree {
  readonly spans: readonly SpanRecord[];

  constructor(spans: readonly SpanRecord[]) {
    this.spans = spans;
  }

  /** Returns one tree per trace. */
  static of(spans: readonly SpanRecord[]): SpanTree[] {
    const ids = new Set(spans.map(({ traceId }) => traceId));
    return [...ids].map((id) => new SpanTree(spans.filter(({ traceId }) => traceId === id)));
  }

  /** Spans whose parent is not a span of the relay. */
  get roots(): readonly SpanRecord[] {
    const ids = new Set(this.spans.map(({ spanId }) => spanId));
    return this.spans.filter(({ parentSpanId }) => !ids.has(parentSpanId));
  }

  named(name: string): SpanRecord | undefined {
    return this.spans.find((span) => span.name === name);
  }

  /** Returns the names in order of their start, children in parentheses: `poll(refresh(GET /v1/…))`. */
  toString(): string {
    return this.#show(this.roots);
  }

  #show(spans: readonly SpanRecord[]): string {
    return [...spans]
      .sort((a, b) => Number(a.startNs - b.startNs))
      .map((span) => {
        const children = this.spans.filter(({ parentSpanId }) => parentSpanId === span.spanId);
        return children.length === 0 ? span.name : `${span.name}(${this.#show(children)})`;
      })
      .join(" ");
  }
}

export const treesIn = ({ spans }: OtlpReceiver): SpanTree[] => SpanTree.of(spans);

/** Waits for at least `count` traces whose root span has this name, and returns them. */
export function treesWith(receiver: OtlpReceiver, root: string, count = 1): Promise<SpanTree[]> {
  return eventually(
    () => {
      const trees = treesIn(receiver).filter(({ roots }) => roots[0]?.name === root);
      if (trees.length < count) throw new Error(`${trees.length} traces begin with "${root}"`);
      return trees;
    },
    { withinMs: 15_000 },
  );
}
