/** What is compared: the relay, and nginx in its place. */
export interface HttpServer extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** Called between measurements. */
  readonly tidy: () => void;
}
