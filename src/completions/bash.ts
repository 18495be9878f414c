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

/** To be read by `source`, or a file in bash-completion's folder. Needs nothing of bash-completion. */
export function bashScript(): string {
  return `# bash completion of ${NAME}
${FUNCTION}() {
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
${[...SUBCOMMAND_SHAPES, RELAY_SHAPE].map(shapeCase).join("\n")}
  esac
  [[ $cur == -* ]] && COMPREPLY=($(compgen -W "$options ${dashed(COMMON_OPTIONS)}" -- "$cur"))
}
complete -F ${FUNCTION} ${NAME}
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

function shapeCase({ name, takesRelayOptions, options, words }: Shape): string {
  const offered = words
    .map((each, at) => `        ${at}) COMPREPLY=($(compgen -W '${each.join(" ")}' -- "$cur")) ;;`)
    .slice(name === undefined ? 0 : 1);
  const byCount =
    offered.length > 0 ? `\n      case \${#words[@]} in\n${offered.join("\n")}\n      esac` : "";
  return `    ${name ?? "*"})
      options="${takesRelayOptions ? "$relay " : ""}${dashed(options)}"${byCount}
      ;;`;
}
