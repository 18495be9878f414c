/** A server to compare: the relay, or nginx in its place. */
export interface HttpServer extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** Cleans up between two measurements. */
  readonly tidy: () => void;
}
