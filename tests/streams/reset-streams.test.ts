import { expect, test } from "bun:test";
import { CANCEL } from "../support/clients/http2-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { StreamConnection } from "../support/clients/stream-connection.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-reset-0123456789";
const STREAMS = 10;

/** NO_ERROR, INTERNAL_ERROR, CANCEL. */
const CODES = [0, 2, CANCEL];

test("streams that a client resets before it takes what they have for it are not counted any more, whatever its code", async () => {
  await using upstream = await startUpstream();
  upstream.publish(KEY, "v2", specV2({ sdkKey: KEY, lcut: FIRST_LCUT }), FIRST_LCUT);
  await using managed = await startManagedRelay({ upstream });
  const expectOpen = (count: number) =>
    eventually(
      async () => {
        expect((await managed.status()).traffic.streams).toBe(count);
      },
      { withinMs: 20_000, everyMs: 100 },
    );
  for (const code of CODES) {
    using connection = await StreamConnection.open(managed.relay.grpcUrl, { streamWindow: 0 });
    const ids = Array.from({ length: STREAMS }, () =>
      connection.open(encodeRequest({ sdkKey: KEY, version: 2 }), { onData: () => {}, onEnd: () => {} }),
    );
    await expectOpen(STREAMS);
    for (const id of ids) connection.reset(id, code);
    await expectOpen(0);
  }
}, 120_000);
