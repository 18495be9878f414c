import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";

export interface ProxyOptions {
  readonly refusesTunnels?: boolean;
  /** Opens tunnels to loopback, whatever the host: a host that does not exist is reached through this proxy alone. */
  readonly isLoopbackOnly?: boolean;
  /** Ports of loopback that tunnels to these hosts lead to. */
  readonly ports?: Readonly<Record<string, number>>;
}

/** A proxy for HTTP_PROXY and HTTPS_PROXY: forwards http:// requests, and opens a tunnel for CONNECT. */
export class OutboundProxy implements AsyncDisposable {
  /** `GET http://host/path` and `CONNECT host:port`, in order. */
  readonly seen: string[] = [];
  readonly #server = createServer((incoming, outgoing) => this.#forward(incoming, outgoing));
  readonly #sockets = new Set<Duplex>();
  readonly #refusesTunnels: boolean;
  readonly #isLoopbackOnly: boolean;
  readonly #ports: Readonly<Record<string, number>>;

  private constructor({ refusesTunnels = false, isLoopbackOnly = false, ports = {} }: ProxyOptions) {
    this.#ports = ports;
    this.#refusesTunnels = refusesTunnels;
    this.#isLoopbackOnly = isLoopbackOnly;
    this.#server.on("connection", (socket: Socket) => this.#sockets.add(socket));
    this.#server.on("connect", (incoming: IncomingMessage, client: Socket, first: Buffer) => {
      this.#tunnel(incoming, client, first);
    });
  }

  static async start(options: ProxyOptions = {}): Promise<OutboundProxy> {
    const proxy = new OutboundProxy(options);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = "GET", url = "", headers } = incoming;
    this.seen.push(`${method} ${url}`);
    const onward = request(url, { method, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.writeHead(502).end());
    incoming.pipe(onward);
  }

  #tunnel({ url = "" }: IncomingMessage, client: Socket, first: Buffer): void {
    this.seen.push(`CONNECT ${url}`);
    client.on("error", () => undefined);
    if (this.#refusesTunnels) {
      client.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const { hostname, port } = new URL(`http://${url}`);
    const ours = this.#ports[hostname];
    const host = this.#isLoopbackOnly || ours !== undefined ? "127.0.0.1" : hostname;
    const upstream = connect(ours ?? Number(port), host, () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      upstream.write(first);
      upstream.pipe(client).pipe(upstream);
    });
    this.#sockets.add(upstream);
    upstream.on("error", () => client.destroy());
  }
}
