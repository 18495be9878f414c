import { CACHES, MODES, namesOf, type OptionSpec } from "../config/option.ts";
import { ALL_OPTIONS, NAME, OPTIONS, PRINT_CONFIG } from "../config/options.ts";
import { SUBCOMMANDS, type Subcommand } from "./subcommands.ts";

const SCRIPTS: Readonly<Record<string, () => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** Returns the completion script for `bash`, `zsh` or `fish`. */
export function formatCompletionScript(shell: string): string {
  return SCRIPTS[shell]?.() ?? "";
}

/** The name of the shell function that completes, in bash and zsh. */
const COMPLETE = `_${NAME.replaceAll("-", "_")}`;

/** For `source`, or a file in the folder of bash-completion. It does not depend on bash-completion. */
function bashScript(): string {
  return `# bash completion of ${NAME}
${COMPLETE}() {
  local word options cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  local relay='${dashedNames(RELAY_OPTIONS)}'
  local -a words=()
  local -i i skip=0
  COMPREPLY=()
  # Readline treats = as a separate word.
  if [[ $cur == = ]]; then
    cur= prev+==
  elif [[ $prev == = ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}=
  fi
  case $prev in
${VALUED_OPTIONS.map(valueCase).join("\n")}
    -*=) COMPREPLY=($(compgen -W 'true false' -- "$cur")); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if ((skip)) && [[ $word != = ]]; then
      skip=0
      continue
    fi
    case $word in
      = | ${VALUED_OPTIONS.flatMap(spellings).join(" | ")}) skip=1 ;;
      -*) ;;
      *) words+=("$word") ;;
    esac
  done
  case \${words[0]} in
${[...SUBCOMMAND_SHAPES, RELAY_SHAPE].map(bashShapeCase).join("\n")}
  esac
  [[ $cur == -* ]] && COMPREPLY=($(compgen -W "$options ${dashedNames(COMMON_OPTIONS)}" -- "$cur"))
}
complete -F ${COMPLETE} ${NAME}
`;
}

const dashedNames = (options: readonly OptionSpec[]) => options.map(({ name }) => `--${name}`).join(" ");

function valueCase(option: OptionSpec): string {
  const patterns = spellings(option).flatMap((spelling) => [spelling, `${spelling}=`]);
  return `    ${patterns.join(" | ")}) ${valueWords(option)}return ;;`;
}

function valueWords(option: OptionSpec): string {
  switch (valueKind(option)) {
    case "words":
      return `COMPREPLY=($(compgen -W '${option.words?.join(" ")}' -- "$cur")); `;
    case "file":
      return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")); ';
    case "folder":
      return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")); ';
    case "keys":
      return `[[ $cur == @* ]] && COMPREPLY=($(compgen -f -P @ -- "\${cur#@}")); `;
    case "other":
      return "";
  }
}

function bashShapeCase({ name, takesRelayOptions, options, words }: Shape): string {
  const offered = words
    .map((each, at) => `        ${at}) COMPREPLY=($(compgen -W '${each.join(" ")}' -- "$cur")) ;;`)
    .slice(name === undefined ? 0 : 1);
  const byCount =
    offered.length > 0 ? `\n      case \${#words[@]} in\n${offered.join("\n")}\n      esac` : "";
  return `    ${name ?? "*"})
      options="${takesRelayOptions ? "$relay " : ""}${dashedNames(options)}"${byCount}
      ;;`;
}

const PREFIX = `_${COMPLETE}`;

/** For `source`, or a file in the completions folder of fish. */
function fishScript(): string {
  const names = SUBCOMMAND_SHAPES.map(({ name }) => name).join(" ");
  const without = SUBCOMMAND_SHAPES.filter(({ takesRelayOptions }) => !takesRelayOptions);
  return `# fish completion of ${NAME}
function ${PREFIX}_words -d 'Prints the words that are neither options nor their values'
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case ${VALUED_OPTIONS.flatMap(spellings).join(" ")}
                set skip 1
            case '-*'
            case '*'
                echo -- $word
        end
    end
end
function ${PREFIX}_is -a name -d 'Whether the first word is this subcommand or, without a name, no subcommand'
    set -l words (${PREFIX}_words)
    if test -n "$name"
        test "$words[1]" = $name
    else
        not contains -- "$words[1]" ${names}
    end
end
function ${PREFIX}_at -a count -d 'Whether the number of words is this'
    test (count (${PREFIX}_words)) = $count
end
function ${PREFIX}_relay -d 'Whether the command takes the options of a relay'
    set -l words (${PREFIX}_words)
    not contains -- "$words[1]" ${without.map(({ name }) => name).join(" ")}
end
complete -c ${NAME} -f
${COMMON_OPTIONS.map((option) => `complete -c ${NAME} ${formatFishOption(option)}`).join("\n")}
${RELAY_OPTIONS.map((option) => `complete -c ${NAME} -n ${PREFIX}_relay ${formatFishOption(option)}`).join("\n")}
${[RELAY_SHAPE, ...SUBCOMMAND_SHAPES].flatMap(shapeLines).join("\n")}
`;
}

function shapeLines({ name, options, words }: Shape): readonly string[] {
  const isHere = `${PREFIX}_is ${name ?? "''"}`;
  const offered = words.map((each, at) => {
    return `complete -c ${NAME} -n "${isHere}; and ${PREFIX}_at ${at}" -a '${each.join(" ")}'`;
  });
  return [
    ...offered.slice(name === undefined ? 0 : 1),
    ...options.map((option) => `complete -c ${NAME} -n "${isHere}" ${formatFishOption(option)}`),
  ];
}

function formatFishOption(option: OptionSpec): string {
  const { name, short, description } = option;
  const names = short === undefined ? `-l ${name}` : `-s ${short} -l ${name}`;
  return [names, ...fishValue(option), `-d '${description.replaceAll(/[\\']/g, "\\$&")}'`].join(" ");
}

function fishValue(option: OptionSpec): readonly string[] {
  if (option.kind === "flag") return [];
  switch (valueKind(option)) {
    case "words":
      return [`-x -a '${option.words?.join(" ")}'`];
    case "file":
      return ["-r -F"];
    case "folder":
      return ["-x -a '(__fish_complete_directories)'"];
    case "keys":
    case "other":
      return ["-x"];
  }
}

/** For `source` after compinit, or a file in a folder of `fpath`. */
function zshScript(): string {
  return `#compdef ${NAME}
${COMPLETE}() {
  local -a relay=(
${RELAY_OPTIONS.flatMap(zshSpecs).map(indented).join("\n")}
  )
  local -a common=(
${COMMON_OPTIONS.flatMap(zshSpecs).map(indented).join("\n")}
  )
  local word first
  local -i skip=0
  for word in \${words[2,CURRENT-1]}; do
    if ((skip)); then
      skip=0
      continue
    fi
    case $word in
      ${VALUED_OPTIONS.flatMap(spellings).join("|")}) skip=1 ;;
      -*) ;;
      *) first=$word; break ;;
    esac
  done
  case $first in
${[...SUBCOMMAND_SHAPES, RELAY_SHAPE].map(zshShapeCase).join("\n")}
  esac
}
if [[ $funcstack[1] == ${COMPLETE} ]]; then
  ${COMPLETE} "$@"
else
  compdef ${COMPLETE} ${NAME}
fi
`;
}

const indented = (line: string) => `    ${line}`;

function zshShapeCase({ name, takesRelayOptions, options, words }: Shape): string {
  const positionals = words.map((each, at) => quoted(`${at + 1}:word:(${each.join(" ")})`));
  const taken = [
    ...(takesRelayOptions ? ['"$' + '{relay[@]}"'] : []),
    '"$' + '{common[@]}"',
    ...options.flatMap(zshSpecs),
    ...positionals,
  ];
  return `    ${name ?? "*"}) _arguments -S ${taken.join(" ")} ;;`;
}

/** Returns the specs of an option for _arguments, one for each of its names. */
function zshSpecs(option: OptionSpec): readonly string[] {
  const { name, short, kind, placeholder = "value" } = option;
  const help = `[${escaped(option.description)}]`;
  const suffix = kind === "flag" ? "" : `:${escaped(placeholder)}:${zshAction(option)}`;
  const [long, brief] = kind === "flag" ? [`--${name}`, `-${short}`] : [`--${name}=`, `-${short}+`];
  const names = short === undefined ? [long] : [long, brief];
  return names.map((each) => quoted(`${each}${help}${suffix}`));
}

function zshAction(option: OptionSpec): string {
  switch (valueKind(option)) {
    case "words":
      return `(${option.words?.join(" ")})`;
    case "file":
      return "_files";
    case "folder":
      return "_files -/";
    case "keys":
      return "{compset -P @ && _files}";
    case "other":
      return " ";
  }
}

const escaped = (text: string) => text.replaceAll(/[\\[\]:]/g, "\\$&");

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** The command line of a subcommand, or of a relay, which has no subcommand. */
interface Shape {
  readonly name: string | undefined;
  readonly takesRelayOptions: boolean;
  /** Options that only this command has. */
  readonly options: readonly OptionSpec[];
  /** The allowed words for each positional argument; the first one is the name of the subcommand. */
  readonly words: readonly (readonly string[])[];
}

const subcommands: readonly Subcommand[] = SUBCOMMANDS;

const RELAY_SHAPE: Shape = {
  name: undefined,
  takesRelayOptions: true,
  options: [PRINT_CONFIG],
  words: [[...MODES, ...subcommands.map(({ name }) => name)], CACHES],
};

const SUBCOMMAND_SHAPES: readonly (Shape & { readonly name: string })[] = subcommands.map(
  ({ name, takesRelayOptions, options, positionals }) => ({
    name,
    takesRelayOptions,
    options,
    words: [[name], ...positionals.map((positional) => positional.words)],
  }),
);

const RELAY_OPTIONS: readonly OptionSpec[] = OPTIONS;

/** Options that every command has, such as `--help`. */
const COMMON_OPTIONS: readonly OptionSpec[] = ALL_OPTIONS.filter(
  (option) => option !== PRINT_CONFIG && !RELAY_OPTIONS.includes(option),
);

/** Every option that takes a value, once. */
const VALUED_OPTIONS: readonly OptionSpec[] = [
  ...RELAY_OPTIONS,
  ...subcommands.flatMap(({ options }) => options),
].filter(
  ({ name, kind }, at, all) => kind !== "flag" && all.findIndex((other) => other.name === name) === at,
);

type ValueKind = "file" | "folder" | "keys" | "words" | "other";

/** Returns what the value of an option is completed to. */
function valueKind({ placeholder, words }: OptionSpec): ValueKind {
  if (words !== undefined) return "words";
  if (placeholder === "FILE") return "file";
  if (placeholder === "FOLDER") return "folder";
  return placeholder === "KEYS|@FILE" ? "keys" : "other";
}

/** Returns the names as they are written on the command line. */
function spellings(option: OptionSpec): readonly string[] {
  const long = namesOf(option).map((name) => `--${name}`);
  return option.short === undefined ? long : [`-${option.short}`, ...long];
}
