import { RawConnection } from "../clients/raw-connection.ts";
import { encodeRequest } from "../clients/spec-messages.ts";
import { StreamConnection } from "../clients/stream-connection.ts";
import { within } from "../common/wait.ts";
import type { CountedRelay } from "./counted-relay.ts";
import { HTTP_STREAMS, type HttpStream, httpStreamRequest } from "./http-stream-request.ts";

/** The first stream of a key waits until upstream has responded. */
const OPENING_LIMIT_MS = 20_000;

export interface Admitted {
  readonly opened: number;
  readonly refused: number;
}

/** What the response has to a client that is refused for the limit: an HTTP status, the status of gRPC-Web or Connect's error. */
const REFUSED = /^HTTP\/1\.1 503 |grpc-status: ?8|resource_exhausted/i;

/** What it has to others: a message, or the headers of an event stream, whose body may be compressed. */
const ADMITTED = /company_id|content-type: text\/event-stream/i;

/**
 * Opens streams over gRPC, and some in each way that the HTTP port has, and returns how many got a message. They are closed after
 * that.
 */
export async function countAdmitted(
  relay: CountedRelay,
  sdkKey: string,
  { grpc, http }: { readonly grpc: number; readonly http: number },
): Promise<Admitted> {
  using clients = new DisposableStack();
  const message = encodeRequest({ sdkKey });
  const openGrpc = async () => {
    const connection = clients.use(await StreamConnection.open(relay.grpcUrl));
    return new Promise<boolean>((resolve) => {
      connection.open(message, { onData: () => resolve(true), onEnd: () => resolve(false) });
    });
  };
  const openHttp = async (kind: HttpStream) => {
    const connection = clients.use(await RawConnection.open(relay.httpUrl));
    connection.write(httpStreamRequest(kind, { sdkKey }));
    return connection.until(
      "a message or an error",
      (received) => {
        const text = received.toString("latin1");
        if (REFUSED.test(text)) return false;
        return ADMITTED.test(text) ? true : undefined;
      },
      OPENING_LIMIT_MS,
    );
  };
  const opening = [
    ...Array.from({ length: grpc }, openGrpc),
    ...HTTP_STREAMS.flatMap((kind) => Array.from({ length: http }, () => openHttp(kind))),
  ];
  const results = await within(
    Promise.all(opening),
    OPENING_LIMIT_MS,
    "every stream to open or to be refused",
  );
  const opened = results.filter((isOpen) => isOpen).length;
  return { opened, refused: results.length - opened };
}
