const PREFIX = "statsig.forward_proxy.";

/** Tags of HTTP requests that the original has since 4.2. */
const SINCE_4_2 = /^(sdk_type|sdk_version|client_service|response_payload_type):/;

/** A StatsD line without prefix, value and sampling rate. */
export interface LineForm {
  /** Such as `HttpServerRequestSuccess.latency`. */
  readonly metric: string;
  readonly type: string;
  /** In the order of the line. */
  readonly tags: readonly string[];
}

export function parseForms(datagrams: readonly string[]): readonly LineForm[] {
  return datagrams.flatMap((datagram) => datagram.split("\n")).map(parseForm);
}

function parseForm(line: string): LineForm {
  const [, metric = "", type = "", tags] = /^([\w.]+):-?[\d.]+\|(\w+)(?:\|@[\d.]+)?\|#(.*)$/.exec(line) ?? [];
  if (tags === undefined || !metric.startsWith(PREFIX)) throw new Error(`not a line of a relay: ${line}`);
  // A comma before a space is part of a value.
  return { metric: metric.slice(PREFIX.length), type, tags: tags.split(/,(?! )/) };
}

/** Formats a line as 4.1 of the original sends it: without the tags that were added later. */
export function formatAs41({ metric, type, tags }: LineForm): string {
  return `${metric}|${type}|#${tags.filter((tag) => !SINCE_4_2.test(tag)).join(",")}`;
}

export const tagNames = ({ tags }: LineForm): readonly string[] =>
  tags.map((tag) => tag.slice(0, tag.indexOf(":")));
