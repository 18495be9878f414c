/* Polling. */

function render() {
  const { report } = state;
  document.body.toggleAttribute("data-silent", isSilent());
  showVerdict(report);
  if (!report) return;
  const { host, version, uptime_s: upS } = report.relay;
  setText(by("where"), `${host} · ${version} · up ${duration(upS + secondsSince(report.now))}`);
  showFigures(report);
  showCards(report);
  showFeeds(report);
  showFleet(report);
  showSdks(report);
  showZone();
}

function showZone() {
  setText(by("zone"), `Times are in ${state.isUtc ? "UTC" : localZone()}.`);
  by("zone-switch").hidden = localZone() === "UTC";
  setText(by("zone-switch"), state.isUtc ? `Show ${localZone()}` : "Show UTC");
}

async function poll() {
  try {
    const response = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) return;
    const report = await response.json();
    // Another version of the relay may have another page.
    const build = `${report.relay.version} ${report.relay.commit}`;
    state.build ??= build;
    if (state.build !== build) return location.reload();
    state.report = report;
    state.receivedAt = performance.now();
    state.rates = [...state.rates, report.traffic.requests_per_s].slice(-HISTORY);
    render();
  } catch {
    // The page shows a failure by the time since the last response.
  }
}

let wake = () => {};

async function pollForever() {
  for (;;) {
    await poll();
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, document.hidden ? POLL_HIDDEN_EVERY_MS : POLL_EVERY_MS);
    });
  }
}

for (const [label, kind] of COLUMNS) by("columns").append(el("th", { role: "columnheader", scope: "col", class: kind }, label));
by("filter").addEventListener("input", render);
by("zone-switch").addEventListener("click", () => {
  state.isUtc = !state.isUtc;
  render();
});
document.addEventListener("visibilitychange", () => wake());
setInterval(render, 1000);
pollForever();
