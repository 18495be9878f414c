import { NAME, type OptionSpec } from "../options.ts";
import {
  COMMON_OPTIONS,
  RELAY_OPTIONS,
  RELAY_SHAPE,
  type Shape,
  SUBCOMMAND_SHAPES,
  spellings,
  VALUED_OPTIONS,
  valueKind,
} from "./tables.ts";

const FUNCTION = `_${NAME.replaceAll("-", "_")}`;

/** A file of a folder of `fpath`, or to be read by `source` after compinit. */
export function zshScript(): string {
  return `#compdef ${NAME}
${FUNCTION}() {
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
${[...SUBCOMMAND_SHAPES, RELAY_SHAPE].map(shapeCase).join("\n")}
  esac
}
if [[ $funcstack[1] == ${FUNCTION} ]]; then
  ${FUNCTION} "$@"
else
  compdef ${FUNCTION} ${NAME}
fi
`;
}

const indented = (line: string) => `    ${line}`;

function shapeCase({ name, takesRelayOptions, options, words }: Shape): string {
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
