import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type ConsoleMessage, chromium, type Page } from "playwright-core";

/** Kept, to be looked at: no part of the repository. */
const SHOTS = fileURLToPath(new URL("../../output/status-page", import.meta.url));

const ACTION_LIMIT_MS = 10_000;

export interface Look {
  /** Of its screenshots. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly colorScheme: "light" | "dark";
}

/** Debian's Chromium, without a window. */
export async function startBrowser(): Promise<Browser & AsyncDisposable> {
  const executablePath = Bun.which("chromium") ?? "chromium";
  // As root, and in most containers, there is nothing for its sandbox to stand on.
  return await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A page as somebody has it open: what goes wrong in it, and what it asks for, is kept. */
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
    page.on("console", (message) => this.#heard(message));
    page.on("request", (request) => this.asked.push(request.url()));
  }

  static async open(browser: Browser, url: string, look: Look): Promise<OpenedPage> {
    const { width, height, colorScheme } = look;
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    const opened = new OpenedPage(look, await context.newPage());
    await opened.page.goto(url);
    return opened;
  }

  #heard(message: ConsoleMessage): void {
    // The browser's own line for a relay that does not answer.
    const isOutage = message.text().startsWith("Failed to load resource: net::ERR_CONNECTION_REFUSED");
    if (message.type() === "error" && !isOutage) this.errors.push(message.text());
  }

  /** What can be read of an element: as it is laid out, and not what is hidden. */
  text(selector = "body"): Promise<string> {
    // biome-ignore lint/performance/useDomNodeTextContent: what is in the document is not what people see of it
    return this.page.locator(selector).innerText();
  }

  async shoot(moment: string): Promise<void> {
    mkdirSync(SHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SHOTS, `${moment}-${this.look.name}.png`), fullPage: true });
  }

  /** How many pixels of the page lie beyond its right edge. */
  overflow(): Promise<number> {
    return this.page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}
