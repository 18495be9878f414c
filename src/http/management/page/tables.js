/* Feeds. */

const STATES = { stale: ["warn", "stale"], failing: ["warn", "failing"], never_polled: ["idle", "not polled yet"], fresh: ["ok", "fresh"] };
const STATES_BY_SEVERITY = Object.keys(STATES);

/** Each column: its name, its class, and a function that returns a cell's lines and title. */
const COLUMNS = [
  ["Feed", "", (feed) => [[feed.sdk_key, [`${feed.version} ${feed.format}`, feed.preloaded && "preloaded", describePin(pinOf(feed))].filter(Boolean).join(", ")]]],
  ["State", "", (feed) => [[STATES[feed.state][1], feed.too_large_for_grpc_since ? `too large for gRPC for ${since(feed.too_large_for_grpc_since)}` : feed.confirmed_at ? `confirmed ${ago(feed.confirmed_at)}` : "never confirmed"], exact(feed.confirmed_at)]],
  ["Version", "", (feed) => (feed.lcut === null ? [["not cached"]] : [[feed.lcut_at ? `${since(feed.lcut_at)} old` : "–", String(feed.lcut)], exact(feed.lcut_at)])],
  ["Last poll", "", ({ last_poll: poll }) => (poll ? [[ago(poll.at), `${poll.outcome}, ${whole(poll.took_ms)} ms`], exact(poll.at)] : [["never"]])],
  ["Last error", "error long", ({ last_error: error }) => (error ? [[`${ago(error.at)}`, error.detail], `${exact(error.at)}, ${error.reason}`] : [["none"]])],
  ["Source", "", (feed) => [[feed.source ?? "–", feed.claimed_by ? `polled by ${feed.claimed_by}` : ""], feed.received_at && `received ${exact(feed.received_at)}`]],
  ["Size", "long", (feed) => sizes(feed.bytes)],
  ["Streams", "number", (feed) => [[whole(feed.streams)]]],
  ["Requests", "number", (feed) => [[rate(feed.requests_per_s)], "for this key and version, all formats"]],
];

const pinOf = ({ sdk_key: key }) => state.report.pins?.find((pin) => pin.key === key);
const describePin = (pin) => pin && `pinned${pin.since ? ` for ${since(pin.since)}` : ""}${pin.held_back ? `, ${plural(pin.held_back, "newer version")} held back` : ""}`;

function sizes(bytes) {
  if (bytes === null) return [["–"]];
  const [[, first], ...others] = Object.entries(bytes);
  const coded = others.map(([coding, count]) => `${coding} ${size(count)}`.replaceAll(" ", "\u00a0")).join(", ");
  return [[size(first), coded || Object.keys(bytes)[0]], Object.entries(bytes).map(([coding, count]) => `${coding} ${count}`).join(", ")];
}

const formatName = (feed) => `${feed.sdk_key} ${feed.version} ${feed.format}`;
const compare = (a, b) => STATES_BY_SEVERITY.indexOf(a.state) - STATES_BY_SEVERITY.indexOf(b.state) || formatName(a).localeCompare(formatName(b));

/** Numbers feeds of the same name: two keys may look the same when masked. */
function withIds(feeds) {
  const seen = new Map();
  return feeds.map((feed) => {
    const count = (seen.get(formatName(feed)) ?? 0) + 1;
    seen.set(formatName(feed), count);
    return { ...feed, id: `${formatName(feed)} ${count}` };
  });
}

function showFeeds({ feeds, feeds_total: total, feeds_by_state: counts }) {
  const filter = by("filter").value.trim().toLowerCase();
  const shown = withIds(feeds).filter((feed) => `${formatName(feed)} ${STATES[feed.state][1]}`.toLowerCase().includes(filter)).sort(compare);
  const parts = STATES_BY_SEVERITY.filter((each) => counts[each]).map((each) => `${whole(counts[each])} ${STATES[each][1]}`);
  setText(by("feeds-count"), total === 0 ? "" : `${parts.join(", ")}${shown.length < total ? `; ${whole(shown.length)} of ${whole(total)} shown` : ""}`);
  by("filter").hidden = total === 0;
  by("table").hidden = shown.length === 0;
  by("empty").hidden = shown.length > 0;
  setText(by("empty"), total === 0 ? "No feeds cached yet. A feed appears here when a client first requests it." : "No feed matches the filter.");
  arrange(by("rows"), shown, ({ id }) => id, makeRow, updateRow);
}

function makeRow() {
  const cells = COLUMNS.map(([label, kind]) => el("td", { role: "cell", class: kind, "data-label": label }, el("p"), el("p")));
  cells[0].firstChild.className = "mono";
  cells[1].firstChild.className = "state dot";
  const manage = el("button", { type: "button", class: "plain" }, "Manage");
  cells[0].append(manage);
  return Object.assign(el("tr", { role: "row" }, ...cells), { parts: cells, manage });
}

function updateRow(row, feed) {
  const isEmpty = feed.state === "failing" && feed.lcut === null;
  const isTooLarge = feed.state === "fresh" && feed.too_large_for_grpc_since !== null;
  setAttribute(row.parts[1], "data-level", isEmpty ? "bad" : isTooLarge ? "warn" : STATES[feed.state][0]);
  setAttribute(row, "data-erred", feed.last_error ? "" : null);
  setAttribute(row.manage, "aria-label", `Manage ${feed.sdk_key}`);
  row.manage.onclick = () => openOperate(feed.sdk_key);
  COLUMNS.forEach(([, , cell], at) => {
    const [[first, second = ""], hint] = cell(feed);
    const part = row.parts[at];
    setText(part.children[0], first);
    setFlow(part.children[1], second);
    part.children[1].hidden = second === "";
    setAttribute(part, "title", hint);
  });
}

/* The relays of the fleet, and the SDKs. Each column: its name, its class, and a function that returns a cell's lines and title. */

const RELAY_COLUMNS = [
  ["Relay", "", (relay) => [[relay.host || relay.id, relay.this_relay ? "this relay" : relay.id.slice(0, 8)], relay.id]],
  ["State", "", (relay) => [[relay.ready ? "ready" : "not ready", `seen ${duration(relay.seen_ago_s)} ago`]]],
  ["Version", "", (relay) => [[relay.version, relay.mode]]],
  ["Up", "", (relay) => [[relay.started_at ? since(relay.started_at) : "–"], exact(relay.started_at)]],
  ["Claims", "", (relay) => [[relay.fleet_polling ? plural(claimsOf(relay), "feed") : "polls for itself"], "feeds that it polled last for all relays"]],
  ["Newest version", "", (relay) => [[relay.newest_lcut === null ? "–" : String(relay.newest_lcut)]]],
  ["Feeds", "number", (relay) => [[whole(relay.feeds), plural(relay.sdk_keys, "SDK key")]]],
  ["Streams", "number", (relay) => [[whole(relay.streams)]]],
];

const claimsOf = ({ host, id }) => state.report.feeds.filter(({ claimed_by: by }) => by === host || by === id).length;

const SDK_COLUMNS = [
  ["SDK", "", (sdk) => [[sdk.type, sdk.language ?? ""]]],
  ["Version", "", (sdk) => [[sdk.version ?? "–"]]],
  ["Over", "", (sdk) => [[sdk.protocols.join(", ")]]],
  ["Requests in 5 min", "number", (sdk) => [[whole(sdk.requests_5_min)]]],
  ["Since start", "number", (sdk) => [[whole(sdk.requests)]]],
  ["Last request", "", (sdk) => [[ago(sdk.last_seen_at)], exact(sdk.last_seen_at)]],
];

function showTable(table, columns, items, getKey) {
  if (!table.rows_) {
    const head = el("tr", { role: "row" }, ...columns.map(([label, kind]) => el("th", { role: "columnheader", scope: "col", class: kind }, label)));
    table.rows_ = el("tbody", { role: "rowgroup" });
    table.append(el("thead", { role: "rowgroup" }, head), table.rows_);
  }
  const make = () => el("tr", { role: "row" }, ...columns.map(([label, kind]) => el("td", { role: "cell", class: kind, "data-label": label }, el("p"), el("p"))));
  arrange(table.rows_, items, getKey, make, (row, item) => {
    columns.forEach(([, , cell], at) => {
      const [[first, second = ""], hint] = cell(item);
      const part = row.children[at];
      setText(part.firstChild, first);
      setText(part.lastChild, second);
      part.lastChild.hidden = second === "";
      setAttribute(part, "title", hint);
    });
  });
}

function showFleet({ fleet }) {
  by("fleet").hidden = !fleet;
  if (!fleet) return;
  const isUnknown = fleet.state === "unknown";
  const shared = `${whole(fleet.relays_total)} share this Redis`;
  const read = fleet.read_at ? `as of ${ago(fleet.read_at)}` : "never read";
  setText(by("fleet-count"), isUnknown ? `unknown, ${read}` : shared);
  by("fleet-table").hidden = fleet.relays.length === 0;
  by("fleet-empty").hidden = !isUnknown;
  setFlow(by("fleet-empty"), isUnknown ? `The list of relays cannot be read from Redis: ${fleet.reason}.` : "");
  showTable(by("fleet-table"), RELAY_COLUMNS, fleet.relays, ({ id }) => id);
}

function showSdks({ sdks }) {
  by("sdks").hidden = sdks.length === 0;
  setText(by("sdks-count"), "in the last 24 h");
  showTable(by("sdks-table"), SDK_COLUMNS, sdks, ({ type, version }) => `${type} ${version}`);
}
