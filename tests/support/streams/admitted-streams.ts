import { RawConnection } from "../clients/raw-connection.ts";
import { encodeRequest } from "../clients/spec-messages.ts";
import { StreamConnection } from "../clients/stream-connection.ts";
import { within } from "../common/wait.ts";
import type { CountedRelay } from "./counted-relay.ts";
import { httpStreamRequest } from "./http-stream-request.ts";

export interface Admitted {
  readonly opened: number;
  readonly refused: number;
}

/** Opens streams over gRPC and over Connect on the HTTP port, and returns how many got a message. They are closed after that. */
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
  const openHttp = async () => {
    const connection = clients.use(await RawConnection.open(relay.httpUrl));
    connection.write(httpStreamRequest("connect", { sdkKey }));
    // The first envelope has the spec, or the error.
    return connection.until("a message or an error", (received) => {
      const text = received.toString("latin1");
      if (text.includes("resource_exhausted")) return false;
      return text.includes("company_id") ? true : undefined;
    });
  };
  const opening = [...Array.from({ length: grpc }, openGrpc), ...Array.from({ length: http }, openHttp)];
  const results = await within(Promise.all(opening), 10_000, "every stream to open or to be refused");
  const opened = results.filter((isOpen) => isOpen).length;
  return { opened, refused: results.length - opened };
}
