"use strict";
const POLL_EVERY_MS = 2000, POLL_HIDDEN_EVERY_MS = 15000, TIMEOUT_MS = 5000, SILENT_AFTER_S = 5;
const HISTORY = 90, MIN_HISTORY = 30;

const by = (id) => document.getElementById(id);
const state = { report: null, receivedAt: 0, openedAt: performance.now(), build: null, rates: [], isUtc: false };

/* Formatting. Exact values are in titles. */

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const PRECISE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = (value) => NUMBER.format(value);
const plural = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;
const rate = (perS) => (perS === null ? "–" : `${perS < 10 ? PRECISE.format(perS) : whole(perS)}/s`);
const percent = (part) => `${PRECISE.format(part * 100)} %`;

function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes, unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit++; }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "12 s", "4 min", "3 h 5 min", "2 d 4 h". */
function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds)), min = Math.floor(s / 60), h = Math.floor(min / 60), d = Math.floor(h / 24);
  if (s < 60) return `${s} s`;
  if (min < 60) return `${min} min`;
  if (h < 24) return min % 60 ? `${h} h ${min % 60} min` : `${h} h`;
  return h % 24 && d < 30 ? `${whole(d)} d ${h % 24} h` : `${whole(d)} d`;
}

/** Uses the relay's clock, since the clock of this machine may be wrong. */
const secondsSince = (moment) => (now() - Date.parse(moment)) / 1000;
const now = () => Date.parse(state.report.now) + Math.min(performance.now() - state.receivedAt, SILENT_AFTER_S * 1000);
const since = (moment) => duration(secondsSince(moment));
const ago = (moment) => (moment === null ? "never" : `${since(moment)} ago`);

/* Times are in the zone of the viewer, or in UTC, and name their zone. Titles have both. */

const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
const zoned = (options) => ({ ...options, hourCycle: "h23", timeZone: state.isUtc ? "UTC" : undefined });
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
const DATE = { year: "numeric", month: "short", day: "numeric" };
const clock = (moment) => new Date(moment).toLocaleString("en-GB", zoned(secondsSince(moment) > 43200 ? { ...DATE, ...TIME } : TIME));
const day = (moment) => new Date(moment).toLocaleDateString("en-GB", zoned(DATE));
const exact = (moment) => (moment ? `${new Date(moment).toLocaleString("en-GB", { ...DATE, ...TIME, hourCycle: "h23" })} = ${moment}` : null);

const silentS = () => (performance.now() - (state.report ? state.receivedAt : state.openedAt)) / 1000;
const isSilent = () => silentS() > SILENT_AFTER_S;
const describeError = (error) => (error === null ? "none" : `${ago(error.at)}: ${error.detail}`);

/* Elements. All data from the relay is set as text, never as HTML. */

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A host name that is longer than a card is wrapped after its dots as well: what does not fit cannot be seen. */
const MAX_UNBROKEN = 34;

/** An address may be wrapped after a slash or a comma only, so that it can be read and copied. */
const pieces = (address) => address.split(/(?<=[^/:]\/|,)/)
  .flatMap((piece) => (piece.length > MAX_UNBROKEN ? piece.split(/(?<=\.)/) : [piece]))
  .flatMap((piece) => [el("span", { class: "unbroken" }, piece), el("wbr")]);

/** Sets a text whose addresses are not broken in the middle. */
function setFlow(element, text) {
  if (element.flow === text) return;
  element.flow = text;
  element.replaceChildren(...text.split(/(\b[a-z]+:\/\/\S+)/).flatMap((part, at) => (at % 2 ? pieces(part) : [part])));
}

/** An address with a longer piece gets the whole width. */
const MAX_NARROW = 16;

/** Sets an address, such as a URL, a path or a host with its port. */
function setAddress(element, text) {
  if (element.flow === text) return;
  element.flow = text;
  element.classList.add("address");
  const parts = text.split(/( )/).flatMap((part) => pieces(part));
  element.classList.toggle("wide", parts.some(({ textContent }) => textContent.length > MAX_NARROW));
  element.replaceChildren(...parts);
}

/** Brings the children of `parent` into the order of `items` without touching the ones that are in place. */
function arrange(parent, items, getKey, make, update) {
  parent.known ??= new Map();
  const wanted = new Set(items.map(getKey));
  for (const [key, element] of parent.known) if (!wanted.has(key)) { element.remove(); parent.known.delete(key); }
  items.forEach((item, at) => {
    const key = getKey(item);
    if (!parent.known.has(key)) parent.known.set(key, make(item));
    const element = parent.known.get(key);
    if (parent.children[at] !== element) parent.insertBefore(element, parent.children[at] ?? null);
    update(element, item);
  });
}
