import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { type Look, OpenedPage, startBrowser } from "../support/common/browser.ts";
import { faintTexts } from "../support/common/contrast.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { masked } from "../support/telemetry/status-report.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";
const PATIENCE = { withinMs: 30_000, everyMs: 100 };

const LOOKS: readonly Look[] = [
  { name: "desk-light", width: 1280, height: 800, colorScheme: "light" },
  { name: "desk-dark", width: 1280, height: 800, colorScheme: "dark" },
  { name: "phone-light", width: 375, height: 667, colorScheme: "light" },
  { name: "phone-dark", width: 375, height: 667, colorScheme: "dark" },
];

describeWith("chromium")("the status page", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser.close();
    deleteFolders();
  });

  const openAll = async (url: string) => {
    const owned = new AsyncDisposableStack();
    const pages = await Promise.all(LOOKS.map((look) => OpenedPage.open(browser, url, look)));
    for (const page of pages) owned.use(page);
    return { pages, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  };

  /** Waits until all pages pass the check and fit, then takes screenshots. */
  const seen = (pages: readonly OpenedPage[], moment: string, check: (text: string) => void) =>
    Promise.all(
      pages.map(async (each) => {
        await eventually(async () => check(await each.text()), PATIENCE);
        expect([each.look.name, await each.overflow()]).toEqual([each.look.name, 0]);
        await each.shoot(moment);
      }),
    );

  test("shows a feed that appears, updates, goes stale and recovers, and a relay that is gone, in all layouts", async () => {
    await using upstream = await startUpstream({ port: await freePort() });
    publishKey(upstream, KEY);
    const port = await freePort();
    const options = { upstream, cache: "local", args: ["--local-cache-path", newFolder()] } as const;
    await using managed = await startManagedRelay(options, port);
    await using opened = await openAll(managed.url);
    const { pages } = opened;
    await seen(pages, "1-empty", (text) => {
      expect(text).toContain("Healthy");
      expect(text).toContain("No feeds cached yet");
    });

    await ask(managed.relay, KEY);
    await seen(pages, "2-appeared", (text) => {
      expect(text).toContain(masked(KEY));
      expect(text).toContain(String(FIRST_LCUT));
      expect(text).toContain("1 feed fresh");
    });
    // An update must not replace the rows that a user is reading.
    for (const { page } of pages)
      await page.evaluate("document.querySelector('#rows tr').kept = true; scrollTo(0, 90)");

    publishKey(upstream, KEY, 1);
    await seen(pages, "3-updated", (text) => expect(text).toContain(String(FIRST_LCUT + 60_000)));
    for (const { page, look } of pages) {
      expect(await page.evaluate<boolean>("document.querySelector('#rows tr').kept")).toBe(true);
      if (look.width < 500) expect(await page.evaluate<number>("scrollY")).toBe(90);
    }

    await upstream.stop();
    await seen(pages, "4-stale", (text) => {
      expect(text).toMatch(/Serving stale specs: upstream is unreachable for \d+ s/);
      expect(text).toMatch(/Last known good config from [\d:]+ UTC, \d+ s ago\./);
      expect(text).toContain("1 stale");
    });
    await upstream.restart();
    await seen(pages, "5-recovered", (text) => {
      expect(text).toContain("Healthy");
      expect(text).toMatch(/Last error\s+\d+ s ago/);
    });

    await managed.relay.kill();
    await seen(pages, "6-silent", (text) => {
      expect(text).toMatch(/Relay not responding for \d+ s/);
      // The feeds are still shown, grayed out.
      expect(text).toContain(masked(KEY));
    });
    await using again = await startManagedRelay(options, port);
    await seen(pages, "7-answers-again", (text) => expect(text).toContain("Healthy"));
    for (const { errors, asked } of pages) {
      expect(errors).toEqual([]);
      const paths = new Set(asked.filter((url) => !url.startsWith("data:")));
      expect([...paths].sort()).toEqual([`${again.url}/`, `${again.url}/status.json`]);
    }
  }, 120_000);

  test("names a feed that gRPC clients do not get because of its size, in all layouts", async () => {
    await using upstream = await startUpstream();
    const text = JSON.stringify(padTo(specV2({ sdkKey: KEY, lcut: FIRST_LCUT }), 1_200_000));
    upstream.publish(KEY, "v2", text, FIRST_LCUT);
    await using managed = await startManagedRelay({ upstream, args: ["--grpc-max-message-size-in-mb", "1"] });
    using client = new GrpcClient(managed.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    await stream.status();
    await using opened = await openAll(managed.url);
    await seen(opened.pages, "8-too-large", (shown) => {
      expect(shown).toContain("gRPC clients do not get the newest version of 1 feed: too large");
      expect(shown).toContain("let its clients poll over HTTP");
      expect(shown).toMatch(/fresh\s+too large for gRPC for \d+ s/);
    });
    for (const { page, errors } of opened.pages) {
      expect(await faintTexts(page, 4.5)).toEqual([]);
      expect(errors).toEqual([]);
    }
  }, 120_000);

  test("is accessible: contrast and roles are sufficient in both color schemes", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream, args: ["--preload-sdk-keys", "secret-none"] });
    await ask(managed.relay, KEY);
    await using all = await openAll(managed.url);
    for (const opened of all.pages) {
      const { page, errors } = opened;
      await eventually(
        async () => expect(await opened.text("h1")).toStartWith("Not ready: 1 of 1"),
        PATIENCE,
      );
      expect(await faintTexts(page, 4.5)).toEqual([]);
      expect(await opened.text("[role=status]")).toStartWith("Not ready: 1 of 1");
      expect(await page.getByRole("row").count()).toBeGreaterThanOrEqual(3);
      expect(await page.getByRole("cell", { name: masked(KEY) }).count()).toBe(1);
      expect(await page.title()).toStartWith("Not ready");
      expect(errors).toEqual([]);
    }
  }, 120_000);

  test("filters feeds by key and by state, and escapes HTML", async () => {
    await using upstream = await startUpstream();
    for (const key of [KEY, "secret-another-0123456789"]) publishKey(upstream, key);
    const path = join(newFolder(), "<img src=x onerror=alert(1)>");
    await using managed = await startManagedRelay({
      upstream,
      cache: "local",
      args: ["--local-cache-path", path],
      // Feeds stay fresh for three intervals.
      pollIntervalS: 60,
    });
    for (const key of [KEY, "secret-another-0123456789"]) await ask(managed.relay, key);
    await using opened = await OpenedPage.open(browser, managed.url, LOOKS[0] as Look);
    const { page, errors } = opened;
    await eventually(async () => expect(await opened.text()).toContain(path), PATIENCE);
    expect(await page.locator("img").count()).toBe(0);
    const rows = page.locator("#rows tr");
    expect(await rows.count()).toBe(2);
    await page.getByRole("searchbox").fill("ANOTHER");
    expect(await rows.count()).toBe(0);
    await page.getByRole("searchbox").fill(masked(KEY).toUpperCase());
    expect(await rows.count()).toBe(1);
    await page.getByRole("searchbox").fill("fresh");
    expect(await rows.count()).toBe(2);
    expect(errors).toEqual([]);
  }, 120_000);
});
