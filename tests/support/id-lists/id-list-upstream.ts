import { createHash } from "node:crypto";
import { entity, everyone, specV1, specV2 } from "../upstream/payloads.ts";

/** Returns an ID as a line of a list has it: the first 8 base64 characters of its SHA-256. */
export const listed = (id: string, sign: "+" | "-" = "+"): string =>
  `${sign}${createHash("sha256").update(id).digest("base64").slice(0, 8)}\n`;

interface List {
  readonly fileID: string;
  readonly creationTime: number;
  body: Uint8Array<ArrayBuffer>;
  /** Fields of the manifest entry that differ from the real file. */
  readonly size?: number;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | null;
  readonly key: string | null;
  readonly body: string;
  readonly version: string | null;
}

/** May respond instead of the upstream, or delay it. */
type Fault = (request: SeenRequest) => Response | undefined | Promise<Response | undefined>;

/** The ID lists of Statsig. Files have a path of their own, as if on another host. */
export class IdListUpstream implements AsyncDisposable {
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: (request) => this.#answer(request),
  });
  readonly #keys = new Map<string, Map<string, List>>();
  readonly requests: SeenRequest[] = [];
  fault: Fault = () => undefined;

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Returns the manifest entry of a list. */
  entry(sdkKey: string, name: string) {
    const list = this.#list(sdkKey, name);
    const { fileID, creationTime, body, size = body.length } = list;
    return {
      name,
      url: `${this.url}/files/${sdkKey}/${encodeURIComponent(fileID)}`,
      fileID,
      size,
      creationTime,
    };
  }

  put(
    sdkKey: string,
    name: string,
    text: string | Uint8Array,
    about: Partial<Omit<List, "body">> = {},
  ): void {
    const lists = this.#keys.get(sdkKey) ?? new Map<string, List>();
    this.#keys.set(sdkKey, lists);
    const defaults = { fileID: `file/${name}`, creationTime: 1_700_000_000_000 };
    lists.set(name, { ...defaults, ...about, body: new Uint8Array(Buffer.from(text as string)) });
  }

  append(sdkKey: string, name: string, text: string): void {
    const list = this.#list(sdkKey, name);
    list.body = new Uint8Array(Buffer.concat([list.body, Buffer.from(text)]));
  }

  remove(sdkKey: string, name: string): void {
    this.#keys.get(sdkKey)?.delete(name);
  }

  /** The `range` headers of all requests for files so far; null means the whole file. */
  rangesAsked(): readonly (string | null)[] {
    return this.requests.filter(({ path }) => path.startsWith("/files/")).map(({ range }) => range);
  }

  manifestsAsked(sdkKey?: string): number {
    const ofKey = ({ path, key }: SeenRequest) =>
      path === "/v1/get_id_lists" && (sdkKey === undefined || key === sdkKey);
    return this.requests.filter(ofKey).length;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #list(sdkKey: string, name: string): List {
    const list = this.#keys.get(sdkKey)?.get(name);
    if (list === undefined) throw new Error(`no list ${name} of ${sdkKey}`);
    return list;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname: path } = new URL(request.url);
    const { headers, method } = request;
    const [range, key, version] = ["range", "statsig-api-key", "x-sfp-version"].map((name) =>
      headers.get(name),
    );
    const seen = { method, path, range: range ?? null, key: key ?? null, version: version ?? null };
    const body = await request.text();
    this.requests.push({ ...seen, body });
    const wrong = await this.fault({ ...seen, body });
    if (wrong !== undefined) return wrong;
    if (path === "/v1/get_id_lists") return this.#manifest(seen.key ?? "");
    const [, specVersion] = /^\/(v[12])\/download_config_specs\/.+\.json$/.exec(path) ?? [];
    if (specVersion !== undefined) return Response.json(specVersion === "v1" ? gateV1 : gateV2);
    const [, owner = "", fileID = ""] = /^\/files\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const list = [...(this.#keys.get(owner)?.values() ?? [])].find(
      (each) => each.fileID === decodeURIComponent(fileID),
    );
    return list === undefined ? new Response("no", { status: 404 }) : part(list.body, seen.range);
  }

  #manifest(sdkKey: string): Response {
    const lists = this.#keys.get(sdkKey);
    if (lists === undefined) return new Response("Unauthorized", { status: 401 });
    return Response.json(
      Object.fromEntries([...lists.keys()].map((name) => [name, this.entry(sdkKey, name)])),
    );
  }
}

function part(body: Uint8Array<ArrayBuffer>, range: string | null): Response {
  const [, first] = /^bytes=(\d+)-$/.exec(range ?? "") ?? [];
  if (first === undefined) return new Response(body);
  const from = Number(first);
  if (from >= body.length) {
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${body.length}` } });
  }
  const headers = { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` };
  return new Response(body.slice(from), { status: 206, headers });
}

const lcut = 1_700_000_000_000;
const inList = {
  type: "unit_id",
  targetValue: "company_list",
  operator: "in_segment_list",
  field: null,
  additionalValues: {},
  idType: "userID",
};
const gate = (conditions: readonly unknown[]) =>
  entity({
    name: "gate_idlist",
    type: "feature_gate",
    returnValue: true,
    defaultValue: false,
    passPercentage: 100,
    conditions,
  });
const v1 = specV1({ lcut });
const v2 = specV2({ lcut });

/** Config specs with an additional gate, `gate_idlist`, that is open to the users in the list `company_list`. */
const gateV1 = {
  ...v1,
  feature_gates: [...v1.feature_gates, gate([inList])],
  id_lists: { company_list: true },
};
const gateV2 = {
  ...v2,
  feature_gates: { ...v2.feature_gates, gate_idlist: gate(["in_list"]) },
  condition_map: { everyone, in_list: inList },
  id_lists: { company_list: true },
};
