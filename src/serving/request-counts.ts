import type { SdkKey } from "../access/sdk-key.ts";
import type { HandledRequest, RequestCell, RequestHeaders, RequestMeter } from "../http/observer.ts";
import { ClientTagReader, type ClientTags, OTHER_CLIENT } from "../telemetry/metrics/client-tags.ts";
import { Series } from "../telemetry/metrics/series.ts";
import type { CountedRequests } from "../telemetry/topics/http.ts";

interface RequestCountsOptions {
  /** Whether sinks export measurements at intervals, which need latencies and clients. */
  readonly isPushing: boolean;
  /** The limit of series of a metric in the control plane. */
  readonly maxSeries: number;
  /** Whether config specs of the key are cached, so that there are a limited number of such keys. */
  readonly holds: (sdkKey: SdkKey) => boolean;
  /** Called with the headers of each request of an SDK that succeeds. */
  readonly onSdk?: (headers: RequestHeaders) => void;
}

/**
 * The maximum number of tallies of keys that are not held, between two calls of `take`. The control plane knows some of these
 * keys, but clients can make up any number of them.
 */
const MAX_NOT_HELD = 500;

/** The paths that SDKs request. The others are probes, tools and browsers. */
const SDK_PATH =
  /^\/v[12]\/(?:download_config_specs|stream_config_specs|get_id_lists|log_event)|^\/statsig_forward_proxy\./;

/** Counts the requests of one thread until the control plane takes the counts. */
export class RequestCounts implements RequestMeter {
  readonly #options: RequestCountsOptions;
  readonly #clients: ClientTagReader;
  /** Apart from the others, so that made-up keys cannot fill their list of known clients. */
  readonly #clientsOfNotHeld: ClientTagReader;
  #tallies = new Map<string, Tally>();
  #notHeld = 0;

  constructor(options: RequestCountsOptions) {
    this.#options = options;
    this.#clients = new ClientTagReader(options.maxSeries / 2);
    this.#clientsOfNotHeld = new ClientTagReader(options.maxSeries / 2);
  }

  cell(request: HandledRequest): RequestCell {
    const find = () => this.#find(request);
    const onSdk = request.status < 400 && SDK_PATH.test(request.path) ? this.#options.onSdk : undefined;
    if (!this.#options.isPushing) return new TallyCell(find, { onSdk });
    return new TallyCell(find, { onSdk, findClient: (tally, headers) => this.#findClient(tally, headers) });
  }

  /** Returns what was counted since the last call, each attribute set once. */
  take(): readonly CountedRequests[] {
    const tallies = this.#tallies;
    this.#tallies = new Map();
    this.#notHeld = 0;
    return Array.from(tallies.values(), (tally) => tally.take());
  }

  #find(request: HandledRequest): Tally {
    const id = toId(request);
    const known = this.#tallies.get(id);
    if (known !== undefined) return known;
    const { sdkKey } = request;
    const isHeld = sdkKey !== undefined && this.#options.holds(sdkKey);
    if (sdkKey !== undefined && !isHeld && !this.#hasRoom()) {
      return this.#find({ ...request, sdkKey: undefined });
    }
    const tally = new Tally(request, isHeld);
    this.#tallies.set(id, tally);
    return tally;
  }

  #findClient(tally: Tally, headers: RequestHeaders): Series {
    if (tally.isHeld) return tally.ofClient(this.#clients.read(headers));
    const client = this.#clientsOfNotHeld.read(headers);
    const isAdmitted = tally.hasClient(client) || client === OTHER_CLIENT || this.#hasRoom();
    return tally.ofClient(isAdmitted ? client : OTHER_CLIENT);
  }

  #hasRoom(): boolean {
    return ++this.#notHeld <= MAX_NOT_HELD;
  }
}

/** What was counted of requests with the same attributes, until it is taken. */
class Tally {
  readonly all = new Series({}, { timed: true, keepsSamples: false });
  readonly isHeld: boolean;
  readonly #request: HandledRequest;
  readonly #byClient = new Map<ClientTags, Series>();
  #isTaken = false;

  constructor(request: HandledRequest, isHeld: boolean) {
    this.#request = request;
    this.isHeld = isHeld;
  }

  /** Once taken, measurements belong into a new tally. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  hasClient(client: ClientTags): boolean {
    return this.#byClient.has(client);
  }

  ofClient(client: ClientTags): Series {
    const known = this.#byClient.get(client);
    if (known !== undefined) return known;
    const series = new Series({}, { timed: true, keepsSamples: true });
    this.#byClient.set(client, series);
    return series;
  }

  take(): CountedRequests {
    this.#isTaken = true;
    const byClient = Array.from(this.#byClient, ([client, series]) => ({
      client,
      measured: series.measured(),
    }));
    return { request: this.#request, measured: this.all.measured(), byClient };
  }
}

interface CellOptions {
  readonly onSdk?: ((headers: RequestHeaders) => void) | undefined;
  readonly findClient?: (tally: Tally, headers: RequestHeaders) => Series;
}

/**
 * Cached with a prepared response, which can be replaced at any time: what it counted is in the tally, and nothing refers to the
 * cell but the response.
 */
class TallyCell implements RequestCell {
  readonly #find: () => Tally;
  readonly #onSdk: CellOptions["onSdk"];
  readonly #findClient: CellOptions["findClient"];
  #tally: Tally | undefined;

  constructor(find: () => Tally, { onSdk, findClient }: CellOptions) {
    this.#find = find;
    this.#onSdk = onSdk;
    this.#findClient = findClient;
  }

  record(tookMs: number, headers: RequestHeaders): void {
    let tally = this.#tally;
    if (tally === undefined || tally.isTaken) {
      tally = this.#find();
      this.#tally = tally;
    }
    tally.all.record(tookMs);
    this.#onSdk?.(headers);
    if (this.#findClient !== undefined) this.#findClient(tally, headers).record(tookMs);
  }
}

function toId(request: HandledRequest): string {
  const { sdkKey, path, status, acceptEncoding, contentEncoding, lcut, payloadType, specBytes, delta } =
    request;
  return `${status} ${path} ${acceptEncoding} ${contentEncoding} ${lcut} ${payloadType} ${specBytes} ${delta?.result} ${delta?.savedBytes} ${sdkKey}`;
}
