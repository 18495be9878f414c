/* The overall state, at the top of the page. */

function verdict(report) {
  if (isSilent()) {
    const last = report && `Showing data from ${clock(report.now)}.`;
    return { level: "bad", text: "Relay not responding", time: `for ${duration(silentS())}`, detail: last ?? "", next: "" };
  }
  if (!report) return { level: "idle", text: "Connecting to the relay", time: "", detail: "", next: "" };
  const [worst] = report.problems;
  if (!worst) return { level: "ok", text: "Healthy", time: "", detail: describeHealthy(report), next: "" };
  const known = report.upstream.last_known_good_at;
  const good = worst.kind === "stale_feeds" && known ? `Last known good config from ${clock(known)}, ${ago(known)}. ` : "";
  return {
    level: worst.severity === "critical" ? "bad" : "warn",
    text: worst.text,
    time: worst.since ? `for ${since(worst.since)}` : "",
    detail: good + sentence(worst.detail),
    next: nextStep(worst),
  };
}

function describeHealthy({ relay, feeds_total: total, feeds_by_state: counts, upstream }) {
  if (relay.offline) return `Offline: ${plural(total, "feed")} served from files. No request is sent to Statsig.`;
  if (total === 0) return "No feed has been requested yet.";
  const waiting = counts.never_polled ? `, ${whole(counts.never_polled)} not polled yet` : "";
  return `${plural(counts.fresh, "feed")} fresh${waiting}. Last upstream response ${ago(upstream.last_success_at)}.`;
}

const nextStep = ({ next_step: step, doc }) => (step ? `${step} (${doc})` : "");

function sentence(text) {
  if (!text) return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

function showVerdict(report) {
  const { level, text, time, detail, next } = verdict(report);
  const section = by("verdict");
  setAttribute(section, "data-level", level);
  section.time ??= el("span");
  setText(section.time, time && ` ${time}`);
  if (section.text !== text) by("headline").replaceChildren(text, section.time);
  section.text = text;
  setFlow(by("subline"), detail);
  by("next").hidden = next === "";
  setFlow(by("next"), next && `Next: ${next}`);
  const others = isSilent() ? [] : (report?.problems.slice(1) ?? []);
  arrange(by("others"), others, ({ kind, text: name }) => kind + name, (other) => el("li", { class: "dot" }, other.text, " ", el("span"), el("p", { class: "next" })), (item, other) => {
    setAttribute(item, "data-level", other.severity === "critical" ? "bad" : "warn");
    setFlow(item.children[0], [other.since && `for ${since(other.since)}`, other.detail].filter(Boolean).join(": "));
    setFlow(item.lastChild, nextStep(other));
  });
  // Screen readers announce it when it changes, not every second.
  setText(by("announcement"), text);
  const host = report ? ` · ${report.relay.host}` : "";
  if (document.title !== text + host) document.title = text + host;
  showIcon(section);
}

function showIcon(section) {
  const color = getComputedStyle(section).borderLeftColor;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${color}"/></svg>`;
  setAttribute(document.querySelector("link[rel=icon]"), "href", `data:image/svg+xml,${encodeURIComponent(svg)}`);
}

/* Figures and cards: what they show, as lists of rows: label, value, title. A row without a value is left out. */

const FIGURES = [
  ["Requests", ({ traffic }) => rate(traffic.requests_per_s), ({ traffic }) => `${traffic.requests_per_s} requests per second over HTTP, average of the last 10 s`],
  ["Failed", ({ traffic }) => rate(traffic.failed_per_s), ({ traffic }) => `${traffic.failed_per_s} per second with a status of 400 or above`],
  ["RPCs", ({ traffic }) => rate(traffic.rpcs_per_s), ({ traffic }) => `${traffic.rpcs_per_s} unary RPCs per second`],
  ["Streams", ({ traffic }) => whole(traffic.streams), ({ traffic }) => `${traffic.streams} of at most ${traffic.max_streams}`],
  ["Connections", ({ traffic }) => whole(sum(traffic.connections)), ({ traffic }) => JSON.stringify(traffic.connections)],
  ["SDK keys", ({ traffic }) => whole(traffic.sdk_keys), ({ traffic }) => `${traffic.sdk_keys} of at most ${traffic.max_sdk_keys}`],
];
const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

/** A value that is shown as an address. */
const address = (text) => ({ address: text });

function showEndpoints({ endpoints, url, through_proxy: proxied }) {
  if (!endpoints || endpoints.length === 1) return [["URL", address(showEndpointUrl({ url, through_proxy: proxied })), endpoints && describeLatency(endpoints[0])]];
  return endpoints.map((each) => [each.in_use ? "In use" : "Standby", address(`${showEndpointUrl(each)} ${describeEndpoint(each)}`), `last response ${ago(each.last_success_at)}, last error ${describeError(each.last_error)}`]);
}
const showEndpointUrl = (endpoint) => endpoint.url + (endpoint.through_proxy ? " (through a proxy)" : "");
const describeLatency = ({ latency_ms: ms }) => (ms === null ? "no response yet" : `responds after ${ms} ms on average`);
const describeEndpoint = (endpoint) => ({
  unknown: "no response yet",
  ok: describeLatency(endpoint),
  lagging: endpoint.lagging_since && `has had older versions for ${since(endpoint.lagging_since)}`,
  failing: endpoint.failing_since && `failing for ${since(endpoint.failing_since)}: ${endpoint.last_error?.detail}`,
}[endpoint.state]);

const CARDS = [
  { title: "Upstream", show: ({ upstream: up, relay, bootstrap }) => relay.offline ? showOffline(bootstrap) : ({
    state: { unknown: ["idle", "not polled yet"], ok: ["ok", "reachable"], partly_failing: ["warn", "partly failing"], failing: ["warn", "failing"] }[up.state],
    rows: [
      ...showEndpoints(up),
      ["Polled", `every ${duration(up.polling_interval_s)}`, `per feed; a feed is stale after ${up.stale_after_s} s`],
      ["Last response", ago(up.last_success_at), exact(up.last_success_at)],
      ["Failing", up.failing_since && `${plural(up.failing_feeds, "feed")} for ${since(up.failing_since)}`, exact(up.failing_since)],
      ["Last error", describeError(up.last_error), exact(up.last_error?.at)],
    ],
  }) },
  { title: "Backup", show: ({ redis, local, relay }) => (redis ? showRedis(redis) : local ? showLocal(local) : showNoBackup(relay)) },
  { title: "Log events", show: ({ events }) => ({
    state: events.state === "delayed" ? ["warn", `delayed for ${since(events.delayed_since)}`] : events.last_sent_at ? ["ok", "forwarded"] : ["idle", "none yet"],
    rows: [
      ["Queued", events.events ? `${plural(events.events, "event")}, ${size(events.bytes)}` : "none", `${events.bytes} bytes, ${percent(events.filled)} full`],
      ["To", address(events.upstream_url)],
      ["Kept in", events.durable ? address(`spool ${events.spool_path}`) : "memory"],
      ["Since start", `${whole(events.accepted)} accepted, ${whole(events.forwarded)} forwarded, ${whole(events.dropped)} dropped`, "duplicate exposures are accepted and not forwarded"],
      ["Last sent", ago(events.last_sent_at), exact(events.last_sent_at)],
      ["Last error", events.last_error && describeError(events.last_error), exact(events.last_error?.at)],
    ],
  }) },
  { title: "Relay", show: ({ relay, traffic, sinks, certificate, bootstrap }) => ({
    state: ["none", `up ${duration(relay.uptime_s + secondsSince(state.report.now))}`],
    rows: [
      ["Version", `${relay.version} (${relay.commit}), ${relay.runtime}`],
      ["Mode", `${relay.mode}, cache ${relay.cache}`],
      ["Files", bootstrap && !relay.offline && `${showFiles(bootstrap)}, for when nothing else has a feed`],
      ["Process", `${relay.pid} on ${relay.host}, ${size(relay.memory_bytes)}`, `${relay.memory_bytes} bytes`],
      ["Threads", showThreads(relay.serving_threads), "that serve clients"],
      ["Connections", Object.entries(traffic.connections).map(([name, count]) => `${name} ${whole(count)}`).join(", ")],
      ["Saved", showSaved(traffic.config_specs), "config specs sent to clients, less those that upstream sent"],
      ["Deltas", showDeltas(traffic.deltas), `from the last ${plural(traffic.deltas.versions, "version")}, to clients that accept them`],
      ["In flight", plural(traffic.in_flight, "request"), "without requests that are answered from the cache"],
      ["Certificate", certificate && `expires ${day(certificate.expires_at)}`, certificate && `serial ${certificate.serial}, ${exact(certificate.expires_at)}`],
      ...sinks.map((sink) => [sink.name, sink.state === "ok" ? "receives metrics" : `failing for ${since(sink.since)}: ${sink.reason}`]),
    ],
  }) },
];

function showOffline(bootstrap) {
  return {
    name: "Offline",
    state: bootstrap.reason || bootstrap.unusable_files ? ["warn", "files unusable"] : ["ok", "serving files"],
    rows: [
      ["Path", address(bootstrap.path)],
      ["Files", showFiles(bootstrap)],
      ["Last change", ago(bootstrap.read_at), exact(bootstrap.read_at)],
      ["Problem", bootstrap.reason ?? (bootstrap.unusable[0] && `${bootstrap.unusable[0].file}: ${bootstrap.unusable[0].reason}`)],
    ],
  };
}

function showFiles({ files, unusable_files: unusable }) {
  return `${plural(files, "file")} of config specs${unusable ? `, ${whole(unusable)} unusable` : ""}`;
}

function showSaved({ served_bytes: served, received_bytes: received, saved_bytes_1_h: lastHour }) {
  return served > received && `${size(served - received)} since the start: ${size(served)} sent to clients, ${size(received)} from upstream; ${size(Math.max(0, lastHour))} in the last hour`;
}

function showDeltas({ versions, sent, full, saved_bytes }) {
  if (versions === 0) return "off";
  return sent + full > 0 && `${whole(sent)} sent instead of whole config specs, ${size(saved_bytes)} saved; ${whole(full)} updates without a delta`;
}

function showThreads({ wanted, running }) {
  return running === wanted ? wanted && `${wanted} running` : `${running} of ${wanted} running`;
}

function showRedis(redis) {
  const isUp = redis.state === "ok";
  return {
    name: "Redis",
    state: isUp ? ["ok", "ok"] : ["warn", `${redis.state === "down" ? "down" : "rejects writes"} for ${since(redis.since)}`],
    rows: [
      ["Address", address(redis.address)],
      ["Lag", lag(redis)],
      ["Last write", ago(redis.last_write_at), exact(redis.last_write_at)],
      ["Last read", ago(redis.last_read_at), exact(redis.last_read_at)],
      ["Fleet", redis.fleet_polling && "one relay polls each feed per interval"],
      ["Last error", describeError(redis.last_error), exact(redis.last_error?.at)],
    ],
  };
}

function showLocal(local) {
  return {
    name: "Local backup",
    state: local.state === "ok" ? ["ok", "ok"] : ["warn", `${local.state} for ${since(local.since)}`],
    rows: [
      ["Folder", address(local.path)],
      ["Size", local.bytes === null ? "–" : `${size(local.bytes)} of ${size(local.max_bytes)}`, `${local.bytes} bytes`],
      ["Lag", lag(local)],
      ["Last error", describeError(local.last_error), exact(local.last_error?.at)],
    ],
  };
}

const showNoBackup = ({ offline }) => ({
  state: ["idle", "none"],
  rows: [["CACHE", offline ? "disabled: a restart reads the files" : "disabled: a restart begins without specs"]],
});

function lag({ behind_feeds: feeds, lag_s: lagS }) {
  if (feeds === null) return "written by another relay";
  return feeds === 0 ? "none" : `${plural(feeds, "feed")}, ${duration(lagS)}`;
}

function showFigures(report) {
  arrange(by("figures"), FIGURES, ([name]) => name, makeFigure, (element, [, value, title]) => {
    setText(element.value, value(report));
    setAttribute(element, "title", title(report));
    if (element.line) drawRates(element.line);
  });
}

function makeFigure([name]) {
  const element = el("div", { class: "figure" }, el("h2", {}, name), el("p"));
  element.value = element.lastChild;
  if (name !== "Requests") return element;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  element.line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.append(element.line);
  element.append(svg);
  return element;
}

/** Draws the requests per second since the page was opened. */
function drawRates(line) {
  const most = Math.max(1, ...state.rates);
  const span = Math.max(MIN_HISTORY, state.rates.length) - 1;
  const points = [...state.rates].reverse().map((each, back) => `${100 - (back / span) * 100},${100 - (each / most) * 100}`);
  setAttribute(line, "points", points.join(" "));
}

function showCards(report) {
  arrange(by("cards"), CARDS, ({ title }) => title, makeCard, (card, { title, show }) => {
    const { name = title, state: [level, word], rows } = show(report);
    setText(card.name, name);
    setAttribute(card.word, "data-level", level);
    setText(card.word, word);
    const shown = rows.filter(([, value]) => value).flatMap(([label, value, hint]) => [{ tag: "dt", key: `${label} `, value: label }, { tag: "dd", key: label, value, hint }]);
    arrange(card.list, shown, ({ key }) => key, ({ tag }) => el(tag), (element, { value, hint }) => {
      if (value.address) setAddress(element, value.address);
      else setFlow(element, value);
      setAttribute(element, "title", hint);
    });
  });
}

function makeCard() {
  const [name, word, list] = [el("h2"), el("span", { class: "state dot" }), el("dl")];
  return Object.assign(el("article", { class: "card" }, el("header", {}, name, word), list), { name, word, list });
}
