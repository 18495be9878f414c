export interface StatsdLine {
  readonly name: string;
  readonly value: number;
  readonly type: string;
  readonly rate: number;
  /** In the order of the line, each as `name:value`. */
  readonly tags: readonly string[];
}

const form = /^(?<name>[\w.]+):(?<value>-?[\d.]+)\|(?<type>c|g|ms|d)(?:\|@(?<rate>[\d.]+))?\|#(?<tags>\S+)$/;

/** Parses every line of the datagrams. Throws if a line is not valid DogStatsD. */
export function readLines(datagrams: readonly string[]): readonly StatsdLine[] {
  return datagrams.flatMap((datagram) =>
    datagram.split("\n").map((whole) => {
      // The one comma within a tag.
      const line = whole.replaceAll(", ", "+");
      const { name = "", value, type = "", rate = "1", tags = "" } = form.exec(line)?.groups ?? {};
      if (value === undefined) throw new Error(`not a line of DogStatsD: ${line}`);
      return { name, value: Number(value), type, rate: Number(rate), tags: tags.split(",") };
    }),
  );
}

/** Returns the sum of all lines with this name, which is given without the common prefix. */
export function sumOf(datagrams: readonly string[], name: string): number {
  const lines = readLines(datagrams).filter((line) => line.name === `statsig.forward_proxy.${name}`);
  return lines.reduce((sum, line) => sum + line.value, 0);
}
