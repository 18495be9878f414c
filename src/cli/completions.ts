import { CACHES, MODES, type OptionSpec } from "../config/option.ts";
import { ALL_OPTIONS, NAME, OPTIONS, PRINT_CONFIG } from "../config/options.ts";

import { SUBCOMMANDS, type Subcommand } from "./subcommands.ts";

const SCRIPTS: Readonly<Record<string, () => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** What a shell reads to complete our command line; of one that the command line takes. */
export function completionScript(shell: string): string {
  return SCRIPTS[shell]?.() ?? "";
}

const BASH_FUNCTION = `_${NAME.replaceAll("-", "_")}`;

/** To be read by `source`, or a file in bash-completion's folder. Needs nothing of bash-completion. */
function bashScript(): string {
  return `# bash completion of ${NAME}
${BASH_FUNCTION}() {
  local word options cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  local relay='${dashed(RELAY_OPTIONS)}'
  local -a words=()
  local -i i skip=0
  COMPREPLY=()
  # Readline takes an = for a word of its own.
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
  [[ $cur == -* ]] && COMPREPLY=($(compgen -W "$options ${dashed(COMMON_OPTIONS)}" -- "$cur"))
}
complete -F ${BASH_FUNCTION} ${NAME}
`;
}

const dashed = (options: readonly OptionSpec[]) => options.map(({ name }) => `--${name}`).join(" ");

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
      options="${takesRelayOptions ? "$relay " : ""}${dashed(options)}"${byCount}
      ;;`;
}

const PREFIX = `__${NAME.replaceAll("-", "_")}`;

/** A file of fish's folder of completions, or to be read by `source`. */
function fishScript(): string {
  const names = SUBCOMMAND_SHAPES.map(({ name }) => name).join(" ");
  const without = SUBCOMMAND_SHAPES.filter(({ takesRelayOptions }) => !takesRelayOptions);
  return `# fish completion of ${NAME}
function ${PREFIX}_words -d 'The words that are no options, nor values of one'
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
function ${PREFIX}_is -a name -d 'Whether the first word is this subcommand; with no name, whether it is none'
    set -l words (${PREFIX}_words)
    if test -n "$name"
        test "$words[1]" = $name
    else
        not contains -- "$words[1]" ${names}
    end
end
function ${PREFIX}_at -a count -d 'Whether there are so many words'
    test (count (${PREFIX}_words)) = $count
end
function ${PREFIX}_relay -d 'Whether options of a relay are taken'
    set -l words (${PREFIX}_words)
    not contains -- "$words[1]" ${without.map(({ name }) => name).join(" ")}
end
complete -c ${NAME} -f
${COMMON_OPTIONS.map((option) => `complete -c ${NAME} ${described(option)}`).join("\n")}
${RELAY_OPTIONS.map((option) => `complete -c ${NAME} -n ${PREFIX}_relay ${described(option)}`).join("\n")}
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
    ...options.map((option) => `complete -c ${NAME} -n "${isHere}" ${described(option)}`),
  ];
}

function described(option: OptionSpec): string {
  const { name, short, description } = option;
  const names = short === undefined ? `-l ${name}` : `-s ${short} -l ${name}`;
  return [names, ...value(option), `-d '${description.replaceAll(/[\\']/g, "\\$&")}'`].join(" ");
}

function value(option: OptionSpec): readonly string[] {
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

const ZSH_FUNCTION = `_${NAME.replaceAll("-", "_")}`;

/** A file of a folder of `fpath`, or to be read by `source` after compinit. */
function zshScript(): string {
  return `#compdef ${NAME}
${ZSH_FUNCTION}() {
  local -a relay=(
${RELAY_OPTIONS.flatMap(specs).map(indented).join("\n")}
  )
  local -a common=(
${COMMON_OPTIONS.flatMap(specs).map(indented).join("\n")}
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
if [[ $funcstack[1] == ${ZSH_FUNCTION} ]]; then
  ${ZSH_FUNCTION} "$@"
else
  compdef ${ZSH_FUNCTION} ${NAME}
fi
`;
}

const indented = (line: string) => `    ${line}`;

function zshShapeCase({ name, takesRelayOptions, options, words }: Shape): string {
  const positionals = words.map((each, at) => quoted(`${at + 1}:word:(${each.join(" ")})`));
  const taken = [
    ...(takesRelayOptions ? ['"$' + '{relay[@]}"'] : []),
    '"$' + '{common[@]}"',
    ...options.flatMap(specs),
    ...positionals,
  ];
  return `    ${name ?? "*"}) _arguments -S ${taken.join(" ")} ;;`;
}

/** An option as _arguments takes it, once for each of its names. */
function specs(option: OptionSpec): readonly string[] {
  const { name, short, kind, placeholder = "value" } = option;
  const said = `[${escaped(option.description)}]`;
  const behind = kind === "flag" ? "" : `:${escaped(placeholder)}:${action(option)}`;
  const [long, brief] = kind === "flag" ? [`--${name}`, `-${short}`] : [`--${name}=`, `-${short}+`];
  const names = short === undefined ? [long] : [long, brief];
  return names.map((each) => quoted(`${each}${said}${behind}`));
}

function action(option: OptionSpec): string {
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

/** A command line with a subcommand, or that of a relay, which has none. */
interface Shape {
  readonly name: string | undefined;
  readonly takesRelayOptions: boolean;
  /** Its own options. */
  readonly options: readonly OptionSpec[];
  /** What its words may be, one after the other; the first is the name. */
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
    words: [[name], ...positionals.map(wordsOf)],
  }),
);

function wordsOf(positional: string): readonly string[] {
  if (positional === "MODE") return MODES;
  return positional === "CACHE" ? CACHES : positional.split("|");
}

const RELAY_OPTIONS: readonly OptionSpec[] = OPTIONS;

/** They may stand anywhere: `--help` and its like. */
const COMMON_OPTIONS: readonly OptionSpec[] = ALL_OPTIONS.filter(
  (option) => option !== PRINT_CONFIG && !RELAY_OPTIONS.includes(option),
);

/** What has a value behind it, by every name. */
const VALUED_OPTIONS: readonly OptionSpec[] = [
  ...RELAY_OPTIONS,
  ...subcommands.flatMap(({ options }) => options),
].filter(
  ({ name, kind }, at, all) => kind !== "flag" && all.findIndex((other) => other.name === name) === at,
);

type ValueKind = "file" | "folder" | "keys" | "words" | "other";

/** What an option's value can be completed to. */
function valueKind({ placeholder, words }: OptionSpec): ValueKind {
  if (words !== undefined) return "words";
  if (placeholder === "FILE") return "file";
  if (placeholder === "FOLDER") return "folder";
  return placeholder === "KEYS|@FILE" ? "keys" : "other";
}

/** As they are written. */
function spellings({ name, short }: OptionSpec): readonly string[] {
  return short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];
}
