/** A way to send datagrams to one place, for a while: whoever gets an error opens another. */
export interface DatagramSocket extends Disposable {
  /** Rejects with a DatagramError. Waits for no reader: that its queue is full is an error. */
  send(datagram: Uint8Array): Promise<void>;
  /** Rejects where the system tells, a moment after the fact, that something sent did not arrive. */
  confirm(): Promise<void>;
}

/** Rejects with a DatagramError. */
export type OpenSocket = () => Promise<DatagramSocket>;

/** `code` is the system's word, such as ECONNREFUSED. */
export class DatagramError extends Error {
  constructor(place: string, code: string) {
    super(`${place}: ${explain(code)} (${code})`);
  }
}

function explain(code: string): string {
  switch (code) {
    case "ENOENT":
      return "there is no such socket";
    case "ECONNREFUSED":
    case "ENOTCONN":
    case "ECONNRESET":
      return "nobody listens there";
    case "EAGAIN":
    case "ENOBUFS":
      return "its reader is too slow";
    case "EPROTOTYPE":
      return "it is no datagram socket";
    case "EACCES":
    case "EPERM":
      return "it may not be written to";
    case "EMSGSIZE":
      return "a datagram is too large, lower DOGSTATSD_MAX_BUFFER_SIZE";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "its name has no address";
    default:
      return "it takes nothing";
  }
}
