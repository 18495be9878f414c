import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DockerfileParser, type Env, type Instruction, type JSONInstruction } from "dockerfile-ast";

export const DOCKERFILE = fileURLToPath(new URL("../../../Dockerfile", import.meta.url));

/** The last stage of the Dockerfile, as a container engine reads it. */
export interface FinalImage {
  readonly base: string;
  readonly env: Readonly<Record<string, string>>;
  readonly uid: number;
  readonly gid: number;
  readonly entrypoint: readonly string[];
  readonly healthcheck: readonly string[];
  readonly volume: string;
  readonly workdir: string;
  readonly ports: readonly number[];
  readonly stopSignal: string;
  /** Source, target and `--chown` of each COPY. */
  readonly copies: readonly {
    readonly from: string;
    readonly to: string;
    readonly chown: string | undefined;
  }[];
  readonly labels: string;
}

export function readFinalImage(): FinalImage {
  const file = DockerfileParser.parse(readFileSync(DOCKERFILE, "utf8"));
  const base = file.getFROMs().at(-1);
  const firstLine = base?.getRange().start.line ?? 0;
  const inStage = <T extends Instruction>(all: readonly T[]) =>
    all.filter((each) => each.getRange().start.line >= firstLine);
  const argsOf = (keyword: string) =>
    inStage(file.getInstructions())
      .filter((each) => each.getKeyword() === keyword)
      .flatMap((each) => each.getArguments().map((argument) => argument.getValue()));
  const [uid, gid] = (argsOf("USER").at(-1) ?? "").split(":").map(Number);
  return {
    base: base?.getImage() ?? "",
    env: Object.fromEntries(inStage(file.getENVs()).flatMap(toPairs)),
    uid: uid ?? Number.NaN,
    gid: gid ?? Number.NaN,
    entrypoint: parseExecForm(inStage(file.getENTRYPOINTs()).at(-1)),
    healthcheck: parseHealthcheck(inStage(file.getHEALTHCHECKs()).at(-1)),
    volume: argsOf("VOLUME").join(" "),
    workdir: argsOf("WORKDIR").at(-1) ?? "/",
    ports: argsOf("EXPOSE").map(Number),
    stopSignal: argsOf("STOPSIGNAL").join(" "),
    copies: inStage(file.getCOPYs()).map((copy) => {
      const [from = "", to = ""] = copy.getArguments().map((argument) => argument.getValue());
      const chown = copy.getFlags().find((flag) => flag.getName() === "chown");
      return { from, to, chown: chown?.getValue() ?? undefined };
    }),
    labels: argsOf("LABEL").join(" "),
  };
}

const toPairs = (env: Env) => env.getProperties().map((each) => [each.getName(), each.getValue() ?? ""]);

/** Parses an instruction in exec form. The image has no shell for the shell form. */
function parseExecForm(instruction: Instruction | null | undefined): readonly string[] {
  const strings = (instruction as JSONInstruction | undefined)?.getJSONStrings() ?? [];
  return strings.map((string) => JSON.parse(string.getValue()) as string);
}

function parseHealthcheck(instruction: Instruction | undefined): readonly string[] {
  const list = /\bCMD\s+(\[.*\])\s*$/s.exec(instruction?.getRawArgumentsContent() ?? "")?.[1];
  return JSON.parse(list ?? "[]") as string[];
}
