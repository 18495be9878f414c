import type { Socket } from "node:net";
import { withDescriptor } from "#runtime/descriptors.ts";
import { findLibc, type Libc } from "./libc.ts";

/** What the kernel reports about a TCP connection. Byte counts are totals since the connection was opened. */
export interface TcpProgress {
  readonly receivedBytes: number;
  /** Acknowledged by the peer's kernel. */
  readonly ackedBytes: number;
  /** Handed to the kernel but not acknowledged yet. */
  readonly queuedBytes: number;
  /** The receive window of the peer. It grows when the peer's program reads. */
  readonly peerWindowBytes: number;
}

/** Constants of Linux. */
const IPPROTO_TCP = 6;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_INFO = 11;
const TCP_USER_TIMEOUT = 18;

/** Offsets in `struct tcp_info`; all fields exist since Linux 5.4. */
const BYTES_ACKED = 120;
const BYTES_RECEIVED = 128;
const NOTSENT_BYTES = 144;
const BYTES_SENT = 200;
const BYTES_RETRANSMITTED = 208;
const PEER_WINDOW = 228;
const INFO_BYTES = 232;

/**
 * Makes the kernel close the connection when the peer acknowledges nothing for `ms`, because it is gone or its program does not
 * read. By default the kernel retries for about 15 minutes. Returns false if the system does not support this.
 */
export function limitUnacknowledged(fd: number | undefined, ms: number): boolean {
  return setTcpOption(fd, TCP_USER_TIMEOUT, ms);
}

const PROBE_EVERY_S = 1;

/**
 * Makes the kernel probe a connection that has SO_KEEPALIVE when it was silent for `afterMs`, and then every second until an answer: the
 * limit for what is unacknowledged applies to probes as well. By default it probes after two hours. Returns false if the system does not
 * support this.
 */
export function probeWhenSilent(fd: number | undefined, afterMs: number): boolean {
  return (
    setTcpOption(fd, TCP_KEEPIDLE, Math.ceil(afterMs / 1_000)) &&
    setTcpOption(fd, TCP_KEEPINTVL, PROBE_EVERY_S)
  );
}

function setTcpOption(fd: number | undefined, option: number, value: number): boolean {
  const bytes = new Uint8Array(Uint32Array.of(value).buffer);
  return fd !== undefined && libc()?.setsockopt(fd, IPPROTO_TCP, option, bytes) === 0;
}

/** How many connections may wait to be accepted. Linux lowers it to `net.core.somaxconn`, which is 4,096 by default. */
export const BACKLOG = 16_384;

/**
 * Lets more connections wait on a listening socket than the 512 that Bun allows, whatever `backlog` it is given: when all clients of
 * a relay reconnect at once, the kernel drops those beyond it or cuts them. Returns false if the system does not support this.
 */
export function deepenBacklog(fd: number | undefined): boolean {
  return fd !== undefined && libc()?.listen(fd, BACKLOG) === 0;
}

/** Returns undefined if the connection is closed or the system does not support it. */
export function tcpProgress(fd: number | undefined): TcpProgress | undefined {
  if (fd === undefined) return undefined;
  const info = Buffer.alloc(INFO_BYTES);
  const length = Uint32Array.of(INFO_BYTES);
  if (libc()?.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0 || length[0] !== INFO_BYTES) {
    return undefined;
  }
  const bytesAt = (offset: number) => Number(info.readBigUInt64LE(offset));
  const ackedBytes = bytesAt(BYTES_ACKED);
  return {
    receivedBytes: bytesAt(BYTES_RECEIVED),
    ackedBytes,
    queuedBytes:
      bytesAt(BYTES_SENT) - bytesAt(BYTES_RETRANSMITTED) - ackedBytes + info.readUInt32LE(NOTSENT_BYTES),
    peerWindowBytes: info.readUInt32LE(PEER_WINDOW),
  };
}

/** Like {@link tcpProgress}, for a socket of `node:net` or `node:tls`. */
export function socketProgress(socket: Socket): TcpProgress | undefined {
  return withDescriptor(socket, tcpProgress);
}

/**
 * Returns the TCP connection under a TLS socket, as servers emit it by "connection". On Bun that is the TLS socket itself. Deno has two
 * objects, as Node has.
 */
export function connectionUnder(socket: Socket): Socket {
  const { _parent: under } = socket as { readonly _parent?: Socket | null };
  return under ?? socket;
}

/** Returns undefined on systems other than Linux as well. */
function libc(): Libc | undefined {
  return process.platform === "linux" ? findLibc() : undefined;
}

/**
 * Returns the IP address of a client as people write it: a socket for IPv6 and IPv4 has `::ffff:10.0.0.1` for 10.0.0.1. Returns an empty
 * text once the socket is closed.
 */
export function clientAddressOf({
  remoteAddress = "",
}: {
  readonly remoteAddress?: string | undefined;
}): string {
  return remoteAddress.replace(/^::ffff:(?=\d+\.)/i, "");
}
