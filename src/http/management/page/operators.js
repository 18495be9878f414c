/* What operators do with one SDK key, through the operator API. The token is asked for once, and kept by this page alone. */

const REQUEST_TIMEOUT_MS = 20000;
const operator = { token: null, key: null, opened: 0 };

/** Sends one request. Resolves with the body, or rejects with an Error that has a sentence for the user. */
async function askRelay(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${operator.token}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "The relay did not respond within 20 s. Whether the request took effect is not known: look at the versions." : "The relay cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) operator.token = null;
  const known = { 401: "The token is wrong. It is the value of SFP_MANAGEMENT_TOKEN of this relay.", 404: "This relay does not know the request, or the SDK key." }[response.status];
  throw new Error(answer.message ?? known ?? `The relay responded ${response.status} ${answer.reason ?? ""}.`.replace(" .", "."));
}

const button = (label, run, attributes = {}) => {
  const made = el("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", () => run(made));
  return made;
};

function openOperate(key) {
  operator.key = key;
  operator.opened++;
  const dialog = by("operate");
  const [message, content] = [el("p", { class: "message", role: "status" }), el("div")];
  const close = button("Close", () => dialog.close(), { class: "plain" });
  dialog.replaceChildren(el("header", {}, el("h2", { id: "operate-title", class: "mono" }, key), close), message, content);
  Object.assign(dialog, { message, content });
  if (!dialog.open) dialog.showModal();
  if (operator.token === null) showTokenForm();
  else showKey();
}

/** Shows a message of a level: ok, warn, bad or none. */
function say(level, text) {
  const { message } = by("operate");
  setAttribute(message, "data-level", level);
  setText(message, text);
}

function showTokenForm() {
  const input = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false" });
  const use = () => {
    operator.token = input.value.trim();
    if (operator.token !== "") showKey();
  };
  input.addEventListener("keydown", ({ key }) => key === "Enter" && use());
  by("operate").content.replaceChildren(
    el("label", { for: "token" }, "Token of this relay (SFP_MANAGEMENT_TOKEN). It is kept in this page until it is closed or loaded again."),
    input,
    el("div", { class: "buttons" }, button("Use token", use)),
  );
  input.focus();
}

/** Runs a request of the dialog: buttons are off meanwhile, an error is shown, and what comes after the dialog was opened for another key is dropped. */
async function during(work) {
  const { opened } = operator;
  const dialog = by("operate");
  const buttons = [...dialog.content.querySelectorAll("button")];
  for (const each of buttons) each.disabled = true;
  try {
    const answer = await work();
    return opened === operator.opened ? answer : undefined;
  } catch (error) {
    if (opened !== operator.opened) return undefined;
    if (operator.token === null) showTokenForm();
    say("bad", error.message);
    return undefined;
  } finally {
    for (const each of buttons) each.disabled = false;
  }
}

async function showKey() {
  const { content } = by("operate");
  if (content.childElementCount === 0 || content.querySelector("#token")) content.replaceChildren(el("p", { class: "soft" }, "Loading the versions …"));
  const answer = await during(() => askRelay("GET", `v1/versions?key=${encodeURIComponent(operator.key)}`));
  if (answer) return showVersions(answer);
  // An older relay, or one without a history: the other actions may work.
  if (operator.token !== null) showVersions({ versions: [], pin: null });
}

function showVersions({ versions, pin }) {
  const isPinned = pin !== null && pin !== undefined;
  const actions = el("div", { class: "buttons" },
    button("Poll now", pollNow),
    isPinned ? button("Release", () => review("unpin", {})) : button("Pin what is served", () => review("pin", {})),
    button("Roll back to the version before", () => review("rollback", {})),
  );
  const list = el("ul", { class: "versions" });
  const servedOf = ({ api_version: api, format }) => versions.find((each) => each.served && each.api_version === api && each.format === format)?.lcut ?? 0;
  for (const version of versions) list.append(showVersion(version, version.lcut < servedOf(version) ? "Roll back to it" : "Serve it"));
  by("operate").content.replaceChildren(
    el("p", {}, isPinned ? showPin(pin) : "Not pinned: each new version of upstream is served."),
    actions,
    el("h3", {}, "Versions that this relay keeps"),
    versions.length > 0 ? list : el("p", { class: "soft" }, "None. The history is in memory, and begins anew with each start."),
  );
}

function showPin({ lcut, since: from, by: who, reason, held_back: heldBack, source }) {
  const parts = [
    `Pinned${lcut ? ` to version ${lcut}` : ""}${from ? ` since ${clock(from)}` : ""}${who ? ` by ${who}` : ""}`,
    reason && `“${reason}”`,
    heldBack ? `${plural(heldBack, "newer version")} held back` : "nothing newer is held back",
    source === "config" && "set by --pin, which alone can release it",
  ];
  return `${parts.filter(Boolean).join("; ")}.`;
}

function showVersion({ api_version: api, format, lcut, served_lcut: as, received_at: at, bytes, served }, label) {
  const text = `${lcut}, changed ${clock(lcut)} · ${api} ${format} · received ${clock(at)} · ${size(bytes)}`;
  const line = el("span", { title: exact(at) }, text, served ? el("strong", {}, ` · served${as && as !== lcut ? ` as ${as}` : ""}`) : "");
  return served ? el("li", {}, line) : el("li", {}, line, button(label, () => review("rollback", { to: lcut })));
}

async function pollNow() {
  say("none", "Polling upstream …");
  const answer = await during(() => askRelay("POST", "v1/invalidate", { key: operator.key }));
  if (!answer) return;
  const { polled, updated, unchanged, failed, skipped, fleet, errors } = answer;
  const where = fleet === undefined ? "" : fleet ? " by all relays of the fleet" : " by this relay alone";
  if (polled === undefined) say("none", "The poll is running.");
  else say(failed ? "warn" : "ok", `${plural(polled, "feed")} polled${where}: ${updated} updated, ${unchanged} unchanged, ${failed} failed${skipped ? `, ${skipped} left to another relay` : ""}.${errors?.length ? ` ${errors.join("; ")}.` : ""}`);
  wake();
}

const STEPS = {
  rollback: { verb: "Roll back", done: "Rolled back", intro: "Clients get the content of an earlier version, as a new version. The SDK key is pinned to it: newer versions of upstream are not served until it is released." },
  pin: { verb: "Pin", done: "Pinned", intro: "What is served now stays. Newer versions of upstream are not served until the SDK key is released." },
  unpin: { verb: "Release", done: "Released", intro: "The newest version of upstream is served at once." },
};

/** Shows what would change, and does it only after a second click. */
async function review(action, fields) {
  const { verb, intro } = STEPS[action];
  say("none", "");
  const body = { key: operator.key, ...fields };
  const plan = await during(() => askRelay("POST", `v1/${action}`, { ...body, dry_run: true }));
  if (!plan) return;
  const reason = el("input", { id: "reason", maxlength: "200", autocomplete: "off" });
  const confirm = button(`${verb} ${operator.key}`, () => perform(action, { ...body, ...(reason.value.trim() && { reason: reason.value.trim() }) }), { class: "danger" });
  by("operate").content.replaceChildren(
    el("h3", {}, `${verb}?`),
    el("p", {}, intro),
    ...showPlan(plan),
    el("label", { for: "reason" }, "Reason, for the log and the status page (optional)"),
    reason,
    el("div", { class: "buttons" }, confirm, button("Cancel", showKey)),
  );
  reason.focus();
}

function showPlan({ from, to, feeds = [], diff }) {
  const odd = feeds.filter(({ result }) => result !== "changed" && result !== "unchanged");
  return [
    el("p", {}, from === to || to === undefined ? "The served version stays the same." : `From version ${from} to ${to}.`),
    ...odd.map((feed) => el("p", { class: "message", "data-level": "warn" }, `${feed.api_version} ${feed.format}: ${feed.result.replaceAll("_", " ")}, so that it keeps version ${feed.from}.`)),
    ...(diff ? [el("h3", {}, "What changes, by name"), showDiff(diff)] : []),
  ];
}

function showDiff(diff) {
  const names = el("div", { class: "names", tabindex: "0", role: "region", "aria-label": "What changes, by name" });
  for (const [kind, lists] of Object.entries(diff)) {
    for (const change of ["added", "removed", "changed"]) {
      const listed = lists?.[change];
      if (!Array.isArray(listed) || listed.length === 0) continue;
      const more = (lists.total?.[change] ?? listed.length) - listed.length;
      names.append(el("p", {}, el("strong", {}, `${kind.replaceAll("_", " ")} ${change}: `), listed.join(", ") + (more > 0 ? ` and ${whole(more)} more` : "")));
    }
  }
  if (names.childElementCount === 0) names.append(el("p", {}, "Nothing that has a name."));
  return names;
}

async function perform(action, body) {
  const answer = await during(() => askRelay("POST", `v1/${action}`, body));
  if (!answer) return;
  await showKey();
  const isWhole = answer.result !== "incomplete";
  say(isWhole ? "ok" : "warn", `${STEPS[action].done}${isWhole ? "" : ", but not every feed"}.${answer.note ? ` Note: ${answer.note}.` : ""}`);
  wake();
}
