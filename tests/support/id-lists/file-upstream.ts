interface SeenFileRequest {
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
}

/** Manifests, and files by their encoded IDs, at the paths of Statsig's CDN. */
export class FileUpstream implements AsyncDisposable {
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => this.#answer(request),
  });
  readonly requests: SeenFileRequest[] = [];
  /** The files by their encoded IDs. A number is a status. */
  readonly files = new Map<string, string | number>();
  readonly manifests = new Map<string, object>();
  isDown = false;

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Returns the requests for a file. */
  asked(encodedId: string): readonly SeenFileRequest[] {
    return this.requests.filter(({ path }) => path.endsWith(`/${encodedId}`));
  }

  #answer({ url, headers }: Request): Response {
    const { pathname, search } = new URL(url);
    this.requests.push({ path: pathname, query: search.slice(1), headers });
    if (this.isDown) return new Response("down", { status: 500 });
    if (pathname === "/v1/get_id_lists") {
      return Response.json(this.manifests.get(headers.get("statsig-api-key") ?? "") ?? {});
    }
    const [, id = ""] = /^\/v1\/download_id_list_file\/(.+)$/.exec(pathname) ?? [];
    const file = this.files.get(id) ?? 404;
    if (typeof file === "number") return new Response("no", { status: file });
    return new Response(file, { headers: { "content-type": "text/plain" } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
