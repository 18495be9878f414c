import type { Page } from "playwright-core";

interface Called {
  readonly method: string;
  readonly path: string;
  readonly token: string | undefined;
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

const DIFF = {
  gates: {
    added: [],
    removed: ["old_gate"],
    changed: ["checkout <b>"],
    total: { added: 0, removed: 1, changed: 7 },
  },
  layers: { added: [], removed: [], changed: [], total: { added: 0, removed: 0, changed: 0 } },
};

/** Answers the requests of a page to the operator API, as a relay does that keeps two versions of one SDK key. */
export class OperatorStub {
  readonly calls: Called[] = [];
  readonly #token: string;
  readonly #key: string;
  #isPinned = false;
  /** Makes the next change fail with this message. */
  refusal: { readonly status: number; readonly message: string } | undefined;

  private constructor(token: string, key: string) {
    this.#token = token;
    this.#key = key;
  }

  static async install(page: Page, token: string, key: string): Promise<OperatorStub> {
    const stub = new OperatorStub(token, key);
    await page.route(/\/v1\//, async (route) => {
      const request = route.request();
      const { pathname } = new URL(request.url());
      const authorization = (await request.allHeaders())["authorization"];
      const text = request.postData();
      const body = text ? (JSON.parse(text) as Record<string, unknown>) : undefined;
      const call = { method: request.method(), path: pathname, token: authorization?.slice(7), body };
      stub.calls.push(call);
      const { status, json } = stub.#answer(call);
      await route.fulfill({ status, json });
    });
    return stub;
  }

  #answer({ path, token, body }: Called): { readonly status: number; readonly json: object } {
    if (token !== this.#token)
      return error(
        401,
        "The token is missing or wrong: send that of SFP_MANAGEMENT_TOKEN as Authorization: Bearer",
      );
    const isDryRun = body?.["dry_run"] === true;
    const { refusal } = this;
    if (refusal !== undefined && path !== "/v1/versions") {
      this.refusal = undefined;
      return error(refusal.status, refusal.message);
    }
    switch (path) {
      case "/v1/versions":
        return ok({ key: this.#key, versions: versions(), pin: this.#isPinned ? this.#pin() : null });
      case "/v1/invalidate":
        return ok({ polled: 2, updated: 1, unchanged: 1, failed: 0, pending: 0, fleet: true });
      case "/v1/rollback":
      case "/v1/pin":
      case "/v1/unpin":
        if (!isDryRun) this.#isPinned = path !== "/v1/unpin";
        return ok({
          key: this.#key,
          from: 2_000,
          to: 1_000,
          result: "done",
          feeds: [],
          stored: true,
          diff: isDryRun ? DIFF : undefined,
        });
      default:
        return error(404, "");
    }
  }

  #pin() {
    const since = "2026-11-29T10:00:00.000Z";
    return {
      key: this.#key,
      lcut: 1_000,
      since,
      by: "10.0.0.7",
      reason: "checkout <i>broke</i>",
      held_back: 2,
    };
  }
}

function versions() {
  const common = { api_version: "v2", format: "json", served_lcut: null, bytes: 1_234, source: "upstream" };
  return [
    { ...common, lcut: 2_000, received_at: "2026-11-29T09:00:00.000Z", served: true },
    { ...common, lcut: 1_000, received_at: "2026-11-29T08:00:00.000Z", served: false },
  ];
}

const ok = (json: object) => ({ status: 200, json });
const error = (code: number, message: string) => ({ status: code, json: { code, reason: "Error", message } });
