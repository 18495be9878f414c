import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type ConsoleMessage, chromium, type Page } from "playwright-core";

/** Screenshots are kept for inspection, outside of the repository's files. */
const SHOTS = fileURLToPath(new URL("../../output/status-page", import.meta.url));

const ACTION_LIMIT_MS = 30_000;

/** The browser's message for a relay that is down, or that ended while it had a request. */
const OUTAGE =
  /^Failed to load resource: net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|CONTENT_LENGTH_MISMATCH)/;

export interface Look {
  /** Part of the names of its screenshots. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly colorScheme: "light" | "dark";
  /** UTC by default. */
  readonly timezoneId?: string;
}

/** Starts Debian's Chromium without a window. */
export async function startBrowser(): Promise<Browser & AsyncDisposable> {
  const executablePath = Bun.which("chromium") ?? "chromium";
  // Chromium's sandbox does not work as root and in most containers.
  return await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** An open page, with its errors and the URLs of its requests. */
export class OpenedPage implements AsyncDisposable {
  readonly look: Look;
  readonly page: Page;
  readonly errors: string[] = [];
  readonly asked: string[] = [];

  private constructor(look: Look, page: Page) {
    this.look = look;
    this.page = page;
    page.setDefaultTimeout(ACTION_LIMIT_MS);
    page.on("pageerror", ({ message }) => this.errors.push(message));
    page.on("console", (message) => this.#onConsole(message));
    page.on("request", (request) => this.asked.push(request.url()));
  }

  static async open(browser: Browser, url: string, look: Look): Promise<OpenedPage> {
    const { width, height, colorScheme, timezoneId = "UTC" } = look;
    const viewport = { width, height };
    const context = await browser.newContext({ viewport, colorScheme, timezoneId });
    const opened = new OpenedPage(look, await context.newPage());
    await opened.page.goto(url);
    return opened;
  }

  #onConsole(message: ConsoleMessage): void {
    const isOutage = OUTAGE.test(message.text());
    if (message.type() === "error" && !isOutage) this.errors.push(message.text());
  }

  /** Returns the visible text of an element. */
  text(selector = "body"): Promise<string> {
    // biome-ignore lint/performance/useDomNodeTextContent: textContent includes hidden text
    return this.page.locator(selector).innerText();
  }

  async shoot(moment: string): Promise<void> {
    mkdirSync(SHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SHOTS, `${moment}-${this.look.name}.png`), fullPage: true });
  }

  /** Returns the number of pixels by which the page is wider than its window. */
  overflow(): Promise<number> {
    return this.page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}
