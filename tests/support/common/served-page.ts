/** A page of an origin of its own. */
export interface ServedPage extends AsyncDisposable {
  readonly origin: string;
}

/** Serves an empty page with the script that is bundled from a file. */
export async function servePage(scriptPath: string): Promise<ServedPage> {
  const built = await Bun.build({ entrypoints: [scriptPath], target: "browser" });
  const script = await built.outputs[0]?.text();
  const html = `<!doctype html><meta charset="utf-8"><title>page</title><script type="module">${script}</script>`;
  const headers = { "content-type": "text/html" };
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(html, { headers }) });
  return {
    origin: `http://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}
