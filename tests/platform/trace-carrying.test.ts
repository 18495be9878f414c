import { describe, expect, test } from "bun:test";
import { currentTrace, runInTrace, withTrace } from "../../src/platform/trace-context.ts";

const TRACE = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=1" };
const OTHER = { traceparent: "00-11111111111111111111111111111111-b7ad6b7169203331-00" };
const later = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

describe("a trace that another thread read", () => {
  test("is that of the work here, and equals that of the request", async () => {
    const sent = await withTrace(new Headers(TRACE), async () => currentTrace());
    const received = await runInTrace(structuredClone(sent), async () => {
      await later();
      return currentTrace();
    });
    expect(received).toEqual(TRACE);
    expect(currentTrace()).toBeUndefined();
  });

  test("is not that of other work", async () => {
    const seen = await Promise.all(
      [TRACE, undefined, OTHER].map((trace) =>
        runInTrace(trace, async () => {
          await later();
          return currentTrace();
        }),
      ),
    );
    expect(seen).toEqual([TRACE, undefined, OTHER]);
  });

  test("is not that of work that continues after the result", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let continued: Promise<unknown> | undefined;
    await runInTrace(TRACE, async () => {
      continued = promise.then(() => currentTrace());
    });
    resolve();
    expect(await continued).toBeUndefined();
  });

  test("ends also if the work fails, whose error is passed on", async () => {
    const failed = runInTrace(TRACE, async () => {
      await later();
      throw new RangeError("no");
    });
    await expect(failed).rejects.toThrow(new RangeError("no"));
    expect(currentTrace()).toBeUndefined();
  });
});
