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

const PREFIX = `__${NAME.replaceAll("-", "_")}`;

/** A file of fish's folder of completions, or to be read by `source`. */
export function fishScript(): string {
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
