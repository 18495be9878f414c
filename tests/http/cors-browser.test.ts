import { afterAll, beforeAll, expect, test } from "bun:test";
import { cors } from "@connectrpc/connect";
import type { Browser } from "playwright-core";
import type { PageProtocol, PageResult } from "../support/clients/page-rpcs.ts";
import { OpenedPage, startBrowser } from "../support/common/browser.ts";
import { describeWith } from "../support/common/needs.ts";
import { type ServedPage, servePage } from "../support/common/served-page.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const SDK_KEY = "secret-asked-by-a-page";
const LOOK = { name: "cors", width: 800, height: 600, colorScheme: "light" } as const;

describeWith("chromium")("a page of an allowed origin", () => {
  const owned = new AsyncDisposableStack();
  let browser: Browser;
  let page: ServedPage;
  beforeAll(async () => {
    browser = owned.use(await startBrowser());
    page = owned.use(await servePage(`${import.meta.dir}/../support/clients/page-rpcs.ts`));
  }, 60_000);
  afterAll(() => owned.disposeAsync());

  const open = async (origins: string) => {
    await using starting = new AsyncDisposableStack();
    const upstream = starting.use(await startUpstream());
    const relay = starting.use(
      await startRelayProcess({ upstream, args: ["--cors-allowed-origins", origins] }),
    );
    const { page: tab } = starting.use(await OpenedPage.open(browser, page.origin, LOOK));
    await tab.waitForFunction("globalThis.pageRpc !== undefined");
    const running = starting.move();
    return {
      upstream,
      relay,
      tab,
      rpc: (protocol: PageProtocol, sdkKey: string, streams: boolean): Promise<PageResult> => {
        const args = [protocol, relay.httpUrl, sdkKey, streams].map((arg) => JSON.stringify(arg)).join(", ");
        return tab.evaluate(`pageRpc(${args})`);
      },
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    };
  };

  test("makes RPCs by Connect and gRPC-Web with their own libraries, and reads errors", async () => {
    await using opened = await open(page.origin);
    const { lcut } = publishKey(opened.upstream, SDK_KEY);
    for (const protocol of ["connect", "grpc-web"] as const) {
      for (const streams of [false, true]) {
        const asked = [protocol, streams];
        expect([...asked, await opened.rpc(protocol, SDK_KEY, streams)]).toEqual([
          ...asked,
          { lcut: String(lcut) },
        ]);
        const { error } = await opened.rpc(protocol, "secret-of-nobody", streams);
        expect([...asked, error]).toEqual([...asked, expect.stringContaining("PermissionDenied: ")]);
      }
    }
  }, 60_000);

  test("may send every header that clients send, and read every header that they read", async () => {
    await using opened = await open("*");
    publishKey(opened.upstream, SDK_KEY);
    // Browsers set some of these themselves, and do not allow pages to set them.
    const sent = [...cors.allowedHeaders, "statsig-api-key", "traceparent", "tracestate"];
    const url = `${opened.relay.httpUrl}/v2/download_config_specs/${SDK_KEY}.json`;
    const values = new Map(sent.map((name) => [name.toLowerCase(), "1"]));
    values.set("content-type", "application/json").set("statsig-api-key", SDK_KEY);
    const headers = JSON.stringify(Object.fromEntries(values));

    const response = await opened.tab.evaluate<{ status: number; source: string | null }>(
      `fetch(${JSON.stringify(url)}, { headers: ${headers} })
        .then((response) => ({ status: response.status, source: response.headers.get("x-sfp-source") }))`,
    );
    expect(response).toEqual({ status: 200, source: expect.any(String) });
  }, 60_000);

  test("of an origin that is not allowed can do none of it", async () => {
    await using opened = await open("https://console.example");
    publishKey(opened.upstream, SDK_KEY);
    for (const protocol of ["connect", "grpc-web"] as const) {
      const { error } = await opened.rpc(protocol, SDK_KEY, false);
      expect(error).toContain("Failed to fetch");
    }
  }, 60_000);
});
