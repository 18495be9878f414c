import type { RedisTls } from "../../../src/redis/options.ts";
import { Authority } from "../relay/pki.ts";

/** A folder with a test authority, and certificates that it issued for 127.0.0.1 and for the client. */
export interface RedisCertificates extends Disposable {
  readonly client: RedisTls;
  readonly configLines: readonly string[];
  readonly cliArgs: readonly string[];
}

export function createRedisCertificates(): RedisCertificates {
  using stack = new DisposableStack();
  const authority = stack.use(new Authority());
  const [server, client] = [authority.issue(), authority.issue({ commonName: "client" })];
  const { caPath } = authority;
  const owned = stack.move();
  return {
    client: { caPath, ...client },
    configLines: [
      `tls-cert-file ${server.certPath}`,
      `tls-key-file ${server.keyPath}`,
      `tls-ca-cert-file ${caPath}`,
      "tls-auth-clients yes",
    ],
    cliArgs: ["--tls", "--cacert", caPath, "--cert", client.certPath, "--key", client.keyPath],
    [Symbol.dispose]: () => owned.dispose(),
  };
}
