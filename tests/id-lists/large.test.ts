import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { isOnDeno } from "../support/relay/runtime.ts";

const MB = 1024 * 1024;
const LIST_BYTES = 100 * MB;
/** Bun's fetch and allocator take 40 to 50 MB, in one peak now and then more. A list in memory would take three times this limit. */
const MAX_GROWTH_BYTES = 90 * MB;
const lines = new Uint8Array(Buffer.from("+abcdefgh123456\n".repeat(MB / 16)));

/** An upstream of one large list that is generated while it is sent. */
function startLargeUpstream() {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: ({ url }) => {
      const { pathname, origin } = new URL(url);
      if (pathname === "/v1/get_id_lists") {
        const list = {
          name: "list",
          url: `${origin}/file`,
          fileID: "large",
          size: LIST_BYTES,
          creationTime: 1,
        };
        return Response.json({ list });
      }
      let left = LIST_BYTES / lines.length;
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => {
        if (left-- > 0) controller.enqueue(lines);
        else controller.close();
      };
      return new Response(new ReadableStream({ pull }, { highWaterMark: 1 }));
    },
  });
}

test("a list of 100 MB is downloaded and served to ten clients, some of them slow, with flat memory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sfp-large-list-"));
  await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const upstream = startLargeUpstream();
  await using _upstream = { [Symbol.asyncDispose]: () => upstream.stop(true) };
  await using relay = await startRelayProcess({
    mode: "http",
    args: ["--proxy-id-lists", "--local-cache-path", folder],
    env: { STATSIG_ENDPOINT: upstream.url.origin },
  });
  // Memory that the first requests of any kind take is not caused by the list.
  await fetch(`${relay.httpUrl}/v1/health`);
  const before = relay.rssBytes();
  let most = before;
  const watching = setInterval(() => {
    most = Math.max(most, relay.rssBytes());
  }, 10);
  try {
    const manifestUrl = `${relay.httpUrl}/v1/get_id_lists/secret-large.json`;
    const entry = await eventually(
      async () => {
        const manifest = (await (await fetch(manifestUrl)).json()) as {
          list?: { url: string; size: number };
        };
        // While the file is not on disk, the manifest names the list as an empty one.
        if (!manifest.list?.size) throw new Error("the list is not on disk yet");
        return manifest.list;
      },
      { withinMs: 20_000 },
    );
    expect(entry.size).toBe(LIST_BYTES);
    const fetched = most - before;
    const digests = await Promise.all(
      Array.from({ length: 10 }, (_, at) => digestOf(entry.url, at < 3 ? 1 : 0)),
    );
    const expected = createHash("sha256");
    for (let at = 0; at < LIST_BYTES / lines.length; at++) expected.update(lines);
    expect(new Set(digests)).toEqual(new Set([expected.digest("hex")]));
    const mb = (bytes: number) => Math.round(bytes / MB);
    console.log(`memory before ${mb(before)} MB, +${mb(fetched)} fetching, +${mb(most - before)} in all`);
    expect(most - before).toBeLessThan(isOnDeno ? 2 * MAX_GROWTH_BYTES : MAX_GROWTH_BYTES);
  } finally {
    clearInterval(watching);
  }
}, 60_000);

/** Reads with a pause after each chunk, in ms. */
async function digestOf(url: string, pauseMs: number): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of (await fetch(url)).body ?? []) {
    hash.update(chunk);
    if (pauseMs > 0) await Bun.sleep(pauseMs);
  }
  return hash.digest("hex");
}
