import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import type { PageStream, Watched } from "../support/clients/page-streams.ts";
import { OpenedPage, startBrowser } from "../support/common/browser.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { type ServedPage, servePage } from "../support/common/served-page.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const SDK_KEY = "secret-watched-by-a-page";
const LOOK = { name: "watching", width: 800, height: 600, colorScheme: "light" } as const;
const PATIENCE = { withinMs: 20_000 };
const STREAMS: readonly PageStream[] = ["EventSource", "connect", "grpc-web"];

describeWith("chromium")("a page of another origin", () => {
  const owned = new AsyncDisposableStack();
  let browser: Browser;
  let page: ServedPage;
  beforeAll(async () => {
    browser = owned.use(await startBrowser());
    page = owned.use(await servePage(`${import.meta.dir}/../support/clients/page-streams.ts`));
  }, 60_000);
  afterAll(() => owned.disposeAsync());

  test("watches config specs by EventSource, Connect and gRPC-Web, also across a restart of the relay", async () => {
    await using upstream = await startUpstream();
    const args = ["--cors-allowed-origins", page.origin];
    await using relay = await startRelayProcess({ upstream, args, httpPort: await freePort() });
    await using opened = await OpenedPage.open(browser, page.origin, LOOK);
    const { page: tab } = opened;
    await tab.waitForFunction("globalThis.pageWatch !== undefined");
    const read = () => tab.evaluate<Record<PageStream, Watched>>("globalThis.watched");
    const published = [publishKey(upstream, SDK_KEY)];
    const expectAll = () =>
      eventually(async () => {
        const watched = await read();
        const specs = published.map(({ lcut, v2 }) => ({ lcut: String(lcut), length: v2.length }));
        for (const by of STREAMS) expect([by, watched[by]?.specs]).toEqual([by, specs]);
      }, PATIENCE);

    for (const by of STREAMS) {
      await tab.evaluate(
        `pageWatch(${[by, relay.httpUrl, SDK_KEY].map((each) => JSON.stringify(each)).join(", ")})`,
      );
    }
    await expectAll();
    published.push(publishKey(upstream, SDK_KEY, 1));
    await expectAll();

    await relay.stop();
    await eventually(async () => {
      const watched = await read();
      for (const by of STREAMS) expect([by, watched[by].losses]).not.toEqual([by, 0]);
    }, PATIENCE);
    await using restarted = await startManagedRelay({ upstream, args, httpPort: relay.httpPort });
    // The page says which version it has, so that it does not come again.
    await eventually(
      async () => expect((await restarted.status()).traffic.streams).toBe(STREAMS.length),
      PATIENCE,
    );
    await expectAll();
    published.push(publishKey(upstream, SDK_KEY, 2));
    await expectAll();
  }, 150_000);

  test("of an origin that is not allowed receives nothing", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, SDK_KEY);
    const args = ["--cors-allowed-origins", "https://console.example"];
    await using relay = await startRelayProcess({ upstream, args });
    await using opened = await OpenedPage.open(browser, page.origin, LOOK);
    const url = JSON.stringify(`${relay.httpUrl}/v2/stream_config_specs/${SDK_KEY}`);
    const outcome = await opened.page.evaluate<string>(
      `new Promise((resolve) => {
        const source = new EventSource(${url});
        source.addEventListener("spec", () => resolve("a spec"));
        source.addEventListener("error", () => resolve(source.readyState === 2 ? "closed" : "retrying"));
      })`,
    );
    expect(outcome).toBe("closed");
  }, 60_000);
});
