import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { CANCEL } from "../support/clients/http2-frames.ts";
import { eventually } from "../support/common/wait.ts";
import { countAdmitted } from "../support/streams/admitted-streams.ts";
import { action, threadEnd } from "../support/streams/client-actions.ts";
import { CountedRelay } from "../support/streams/counted-relay.ts";
import { HTTP_STREAMS } from "../support/streams/http-stream-request.ts";
import { RandomClients } from "../support/streams/random-clients.ts";

const RUNS = 5;
const ACTIONS = 2_000;
const MAX_STREAMS = 40;
/** A key that no action revokes. */
const STEADY_KEY = "secret-counts-steady-0123456789";

let relay: CountedRelay;
beforeAll(async () => {
  relay = await CountedRelay.start(MAX_STREAMS);
  relay.publish(STEADY_KEY);
});
afterAll(() => relay[Symbol.asyncDispose]());

test("after any actions of clients, operator and upstream nothing counts as open, and the limit admits as many streams as before", async () => {
  const scenario = {
    end: fc.record({ after: fc.nat(ACTIONS), action: threadEnd }),
    seed: fc.integer(),
    isCut: fc.boolean(),
    max: fc.integer({ min: 1, max: 8 }),
  };
  let served = 0;
  const property = fc.asyncProperty(fc.record(scenario), async ({ seed, end, isCut, max }) => {
    const sampled = fc.sample(action, { seed, numRuns: ACTIONS });
    const actions = sampled.toSpliced(end.after, 0, end.action);
    using clients = new RandomClients(relay);
    for (const each of actions) await clients.apply(each);
    if (isCut) clients[Symbol.dispose]();
    else clients.resetAll(CANCEL);
    served += clients.served;
    await relay.expectNothingOpen();

    await relay.setMaxStreams(max);
    const asked = { grpc: max + 2, http: 2 };
    const refused = 2 + asked.http * HTTP_STREAMS.length;
    // The threads get the new limit a moment after the reload.
    await eventually(
      async () => {
        const admitted = await countAdmitted(relay, STEADY_KEY, asked);
        await relay.expectNothingOpen();
        expect(admitted).toEqual({ opened: max, refused });
      },
      { withinMs: 30_000, everyMs: 500 },
    );
    await relay.setMaxStreams(MAX_STREAMS);
  });
  await fc.assert(property, { numRuns: RUNS, endOnFailure: true });
  // About a tenth of the actions: the others end streams, or open them where nothing can be opened. On a busy machine more are reset
  // before they are served.
  expect(served).toBeGreaterThan((RUNS * ACTIONS) / 100);
}, 300_000);
