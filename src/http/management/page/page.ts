import { createHash } from "node:crypto";
import format from "./format.js" with { type: "text" };
import main from "./main.js" with { type: "text" };
import operators from "./operators.js" with { type: "text" };
import document from "./page.html" with { type: "text" };
import style from "./style.css" with { type: "text" };
import tables from "./tables.js" with { type: "text" };
import view from "./view.js" with { type: "text" };

/** One program: the parts use each other's names. The last one starts it. */
const script = `\n${[format, view, tables, operators, main].join("\n")}`;

/** The status page, as one document that loads nothing. */
export const statusPage = fill(fill(document, "style", `\n${style}`), "script", script);

/** Allows the page's own style and script alone: the page shows texts of SDKs and of upstream. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src ${hash(`\n${style}`)}`,
  `script-src ${hash(script)}`,
  "connect-src 'self'",
  // For the icon, which shows the state.
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

function fill(text: string, element: "style" | "script", content: string): string {
  return text.replace(`<${element}></${element}>`, () => `<${element}>${content}</${element}>`);
}

function hash(content: string): string {
  return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
}
