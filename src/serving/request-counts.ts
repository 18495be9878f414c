import type { SdkKey } from "../access/sdk-key.ts";
import type { HandledRequest, RequestCell, RequestHeaders, RequestMeter } from "../http/observer.ts";
import { ClientTagReader, type ClientTags, OTHER_CLIENT } from "../telemetry/metrics/client-tags.ts";
import { Series } from "../telemetry/metrics/series.ts";
import type { CountedRequests } from "../telemetry/topics/http.ts";

interface RequestCountsOptions {
  /** Whether sinks export measurements at intervals, which need latencies and clients. */
  readonly isPushing: boolean;
  readonly maxSeries: number;
  /** Clients of other keys get no tags: they could fill the list of known clients. */
  readonly knows: (sdkKey: SdkKey) => boolean;
}

/** Counts the requests of one thread until the control plane takes the counts. */
export class RequestCounts implements RequestMeter {
  readonly #options: RequestCountsOptions;
  readonly #clients: ClientTagReader;
  #changed: CountingCell[] = [];

  constructor(options: RequestCountsOptions) {
    this.#options = options;
    this.#clients = new ClientTagReader(options.maxSeries / 2);
  }

  cell(request: HandledRequest): RequestCell {
    const { isPushing, knows } = this.#options;
    const onChanged = (cell: CountingCell) => this.#changed.push(cell);
    if (!isPushing) return new CountingCell(request, onChanged);
    const isKnown = request.sdkKey !== undefined && knows(request.sdkKey);
    const readClient = (headers: RequestHeaders) => (isKnown ? this.#clients.read(headers) : OTHER_CLIENT);
    return new CountingCell(request, onChanged, readClient);
  }

  /** Returns what was counted since the last time. */
  take(): readonly CountedRequests[] {
    const changed = this.#changed;
    this.#changed = [];
    return changed.map((cell) => cell.take());
  }
}

/**
 * Kept with a prepared response, and referred to by the counts only while it has something to take: the response may be replaced
 * at any time.
 */
class CountingCell implements RequestCell {
  readonly #request: HandledRequest;
  readonly #onChanged: (cell: CountingCell) => void;
  readonly #readClient: ((headers: RequestHeaders) => ClientTags) | undefined;
  readonly #all = new Series({}, { timed: true, keepsSamples: false });
  readonly #byClient = new Map<ClientTags, Series>();
  #isChanged = false;

  constructor(
    request: HandledRequest,
    onChanged: (cell: CountingCell) => void,
    readClient?: (headers: RequestHeaders) => ClientTags,
  ) {
    this.#request = request;
    this.#onChanged = onChanged;
    this.#readClient = readClient;
  }

  record(tookMs: number, headers: RequestHeaders): void {
    this.#all.record(tookMs);
    if (this.#readClient !== undefined) this.#findSeries(this.#readClient(headers)).record(tookMs);
    if (this.#isChanged) return;
    this.#isChanged = true;
    this.#onChanged(this);
  }

  take(): CountedRequests {
    this.#isChanged = false;
    const byClient = [...this.#byClient].flatMap(([client, series]) => {
      const measured = series.take();
      return measured === undefined ? [] : [{ client, measured }];
    });
    return { request: this.#request, measured: this.#all.take() ?? NOTHING, byClient };
  }

  #findSeries(client: ClientTags): Series {
    let series = this.#byClient.get(client);
    if (series === undefined) {
      series = new Series({}, { timed: true, keepsSamples: true });
      this.#byClient.set(client, series);
    }
    return series;
  }
}

const NOTHING = { count: 0, sumMs: 0, buckets: [], samples: [] };
