import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import type { StatusReport } from "../../src/telemetry/status/schema.ts";
import { type Look, OpenedPage, startBrowser } from "../support/common/browser.ts";
import { faintTexts } from "../support/common/contrast.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";
const PATIENCE = { withinMs: 30_000, everyMs: 100 };

const DESK: Look = { name: "desk-light", width: 1280, height: 800, colorScheme: "light" };
const PHONE: Look = { name: "phone-dark", width: 375, height: 667, colorScheme: "dark" };
const BERLIN = { timezoneId: "Europe/Berlin" };

const LONG_URL =
  "https://a-relay-with-a-rather-long-name.eu-central-1.internal.example.com:8443/statsig/proxy/prefix";

const RELAY = {
  ...{ id: "5d0e", this_relay: false, host: "relay-b", version: "0.1.0", mode: "grpc-and-http", ready: true },
  ...{ started_at: "2026-11-28T09:00:00.000Z", seen_ago_s: 2.5, sdk_keys: 3, feeds: 6, streams: 120 },
  ...{ newest_lcut: 1_700_000_000_000, fleet_polling: true },
};

describeWith("chromium")("the status page shows", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  /** Opens the page of a relay whose status is edited on its way to the browser. */
  const open = async (look: Look, edit: (report: StatusReport) => object = (report) => report) => {
    await using stack = new AsyncDisposableStack();
    const upstream = stack.use(await startUpstream());
    publishKey(upstream, KEY);
    const managed = stack.use(await startManagedRelay({ upstream }));
    await ask(managed.relay, KEY);
    const opened = stack.use(await OpenedPage.open(browser, managed.url, { ...look, ...BERLIN }));
    await opened.page.route(/status\.json$/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: edit((await response.json()) as StatusReport) });
    });
    const owned = stack.move();
    return { opened, page: opened.page, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  };

  const shows = (opened: OpenedPage, expected: string | RegExp) =>
    eventually(async () => expect(await opened.text()).toMatch(expected), PATIENCE);

  test("times in the zone of the viewer, which is named, with UTC in titles, or all in UTC", async () => {
    const expiresAt = "2027-03-01T23:30:00.000Z";
    const certificate = { serial: "ab", expires_at: expiresAt, refused: null };
    await using at = await open(DESK, (report) => ({ ...report, certificate }));
    const { opened, page } = at;
    await shows(opened, "Times are in Europe/Berlin.");
    await shows(opened, "expires 2 Mar 2027");
    const title = await page.getByText("expires 2 Mar 2027").getAttribute("title");
    expect(title).toMatch(/2 Mar 2027, 00:30:00 CET = 2027-03-01T23:30:00\.000Z$/);
    await page.getByRole("button", { name: "Show UTC" }).click();
    await shows(opened, "Times are in UTC.");
    await shows(opened, "expires 1 Mar 2027");
    await page.getByRole("button", { name: "Show Europe/Berlin" }).click();
    await shows(opened, "expires 2 Mar 2027");
  }, 120_000);

  test.each([DESK, PHONE])(
    "addresses that are wrapped at slashes alone, and copied whole, on $name",
    async (look) => {
      await using at = await open(look, (report) => ({
        ...report,
        upstream: { ...report.upstream, url: LONG_URL },
      }));
      const { opened, page } = at;
      await eventually(async () => {
        expect(await page.locator("dd.address").first().textContent()).toBe(LONG_URL);
      }, PATIENCE);
      expect(await opened.overflow()).toBe(0);
      // Each piece between slashes, and of a long host name each label, is on one line.
      const pieces = await page.evaluate<{ text: string; lines: number }[]>(`
      [...document.querySelectorAll("dd.address .unbroken")].map((piece) => ({
        text: piece.textContent, lines: piece.getClientRects().length,
      }))`);
      expect(pieces.map(({ text }) => text)).toContain("com:8443/");
      for (const { lines } of pieces) expect(lines).toBe(1);
      await opened.shoot("11-long-url");
    },
    120_000,
  );

  test.each([DESK, PHONE])(
    "the relays of a fleet with their claims, and that they are unknown, on $name",
    async (look) => {
      let isUnknown = false;
      await using at = await open(look, (report) => ({
        ...report,
        feeds: report.feeds.map((feed) => ({ ...feed, claimed_by: "relay-b" })),
        fleet: {
          state: isUnknown ? "unknown" : "ok",
          reason: isUnknown ? "the Redis user may not run TIME" : null,
          ...{ read_at: report.now, fleet_polling: true, relays_total: 2 },
          relays: [{ ...RELAY, id: "0a", this_relay: true, host: "<b>relay-a</b>", ready: false }, RELAY],
        },
      }));
      const { opened, page } = at;
      await shows(opened, /2 share this Redis/);
      await shows(opened, /<b>relay-a<\/b>\s+this relay/);
      await shows(opened, /polled by relay-b/);
      expect(await page.locator("#fleet-table tbody tr").count()).toBe(2);
      expect(await page.locator("#fleet-table tbody tr").nth(1).textContent()).toContain("1 feed");
      expect(await faintTexts(page, 4.5)).toEqual([]);
      expect(await opened.overflow()).toBe(0);
      await opened.shoot("12-fleet");
      isUnknown = true;
      await shows(opened, /The list of relays cannot be read from Redis: the Redis user may not run TIME\./);
      expect(opened.errors).toEqual([]);
    },
    120_000,
  );

  test("pins, with how many versions are held back", async () => {
    await using at = await open(DESK, (report) => ({
      ...report,
      pins: report.feeds.map(({ sdk_key: key }) => ({ key, lcut: 1, since: report.now, held_back: 2 })),
    }));
    await shows(at.opened, /pinned for \d+ s, 2 newer versions held back/);
  }, 120_000);
});
