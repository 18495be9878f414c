export interface StatsdLine {
  readonly name: string;
  readonly value: number;
  readonly type: string;
  readonly rate: number;
  /** In the order that they are told, each as `name:value`. */
  readonly tags: readonly string[];
}

const form = /^(?<name>[\w.]+):(?<value>-?[\d.]+)\|(?<type>c|g|ms|d)(?:\|@(?<rate>[\d.]+))?\|#(?<tags>\S+)$/;

/** Every line of the datagrams; fails where one is not as DogStatsD takes it. */
export function readLines(datagrams: readonly string[]): readonly StatsdLine[] {
  return datagrams.flatMap((datagram) =>
    datagram.split("\n").map((line) => {
      const { name = "", value, type = "", rate = "1", tags = "" } = form.exec(line)?.groups ?? {};
      if (value === undefined) throw new Error(`no line of DogStatsD: ${line}`);
      return { name, value: Number(value), type, rate: Number(rate), tags: tags.split(",") };
    }),
  );
}

/** Of all lines with this name after the prefix of all. */
export function sumOf(datagrams: readonly string[], name: string): number {
  const lines = readLines(datagrams).filter((line) => line.name === `statsig.forward_proxy.${name}`);
  return lines.reduce((sum, line) => sum + line.value, 0);
}
