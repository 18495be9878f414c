import { createHash } from "node:crypto";
import { Hono } from "hono";
import type { ExchangeEnv } from "./exchange.ts";
import page from "./status-page.html" with { type: "text" };

/** How the relay is, as JSON text. */
export type ReadStatus = () => Promise<string>;

/** `/status.json`, and at `/` the page that shows it. */
export function statusRoutes(readStatus: ReadStatus): Hono<ExchangeEnv> {
  const pageHeaders = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": contentSecurityPolicy(),
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
  };
  const jsonHeaders = { "content-type": "application/json", "cache-control": "no-store" };
  const app = new Hono<ExchangeEnv>();
  app.get("/", () => new Response(page, { headers: pageHeaders }));
  app.get("/status.json", async () => new Response(await readStatus(), { headers: jsonHeaders }));
  return app;
}

/** The page's own style and script alone, and nothing from elsewhere: what SDKs and upstream say is shown in it. */
function contentSecurityPolicy(): string {
  return [
    "default-src 'none'",
    `style-src ${hashOf("style")}`,
    `script-src ${hashOf("script")}`,
    "connect-src 'self'",
    // Its icon, which shows the state.
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function hashOf(element: "style" | "script"): string {
  const content = page.slice(
    page.indexOf(`<${element}>`) + element.length + 2,
    page.lastIndexOf(`</${element}>`),
  );
  return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
}
