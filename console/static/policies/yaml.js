// What an editor has to know of YAML as policies write it: colours of a line, and where in the document a place is.

const TOKEN = /("(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?)|([{}[\],])|([^\s{}[\],"'#:][^{}[\],#:]*?|[^\s{}[\],"'#]+?)(?=\s*(?::(?:\s|$)|[{}[\],]|\s#|$))|(:)|(\s+)|(#.*$)|(.)/gy;

/** A line in pieces `[kind, text, column]`; kinds: key, text, number, word, mark, note, plain. */
export function pieces(line) {
  const dash = /^(\s*)((?:-(?:\s+|$))*)/.exec(line);
  const found = [];
  let at = dash[0].length;
  if (dash[1]) found.push(["plain", dash[1], 0]);
  if (dash[2]) found.push(["mark", dash[2], dash[1].length]);
  if (line[at] === "#") return [...found, ["note", line.slice(at), at]];
  while (at < line.length) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(line);
    const text = token[0];
    found.push([kindOf(token, line, at + text.length), text, at]);
    at += text.length;
  }
  return found;
}

function kindOf([, quoted, bracket, bare, colon, space, note], line, end) {
  if (note) return "note";
  if (space) return "plain";
  if (bracket || colon) return "mark";
  const key = /^\s*:(\s|$)/.test(line.slice(end));
  if (key) return "key";
  if (quoted) return "text";
  if (bare && /^[-+]?(\d+\.?\d*|\.\d+)$/.test(bare.trim())) return "number";
  if (bare && /^(true|false|null|~)$/.test(bare.trim())) return "word";
  return "plain";
}

/**
 * Where a place is: `path`, the keys that lead to the mapping that it is in; `key`, the key whose value is written there, or null
 * where a key is; `prefix`, what of the word stands before it; `used`, the keys that the mapping has on lines before.
 */
export function placeOf(text, offset) {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const before = text.slice(start, offset);
  if (/(^|\s)#/.test(before.replace(/"[^"]*"|'[^']*'/g, ""))) return null;
  const flow = flowOf(before);
  const dash = /^(\s*)((?:- +)*)/.exec(before);
  const rest = before.slice(dash[0].length);
  const indent = dash[0].length;
  const path = parents(text.slice(0, start).split("\n"), indent, dash[2] !== "");
  if (flow) return { path: [...path, ...flow.path], key: flow.key, prefix: flow.prefix };
  const pair = /^("[^"]*"|'[^']*'|[^:\s][^:]*):(\s+)(.*)$/.exec(rest);
  if (pair) return { path, key: unquoted(pair[1]), prefix: pair[3] };
  if (dash[2] && path.length && !rest.includes(":")) return { path, key: null, prefix: rest, item: path.at(-1) };
  return { path, key: null, prefix: rest };
}

function unquoted(text) {
  return text.trim().replace(/^["']|["']$/g, "");
}

function parents(lines, indent, item) {
  const path = [];
  let least = item ? indent : indent;
  for (let at = lines.length - 1; at >= 0 && least > 0; at -= 1) {
    const line = lines[at];
    if (!line.trim() || line.trim().startsWith("#")) continue;
    const dash = /^(\s*)((?:- +)*)/.exec(line);
    const own = dash[0].length;
    const key = /^("[^"]*"|'[^']*'|[^:\s][^:]*):(\s|$)/.exec(line.slice(own));
    const outer = dash[1].length;
    if (own < least && key) {
      path.unshift(unquoted(key[1]));
      least = outer < own ? outer : own;
      if (dash[2]) least = outer + 1;
    } else if (dash[2] && outer < least) least = Math.min(least, outer + 1);
  }
  return path;
}

/** Where in `{a: {b: c, d` a line ends: the keys of what is open, and what is being written. */
function flowOf(line) {
  const open = [];
  let piece = 0;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const sign = line[at];
    if (quote) {
      if (sign === quote) quote = "";
    } else if (sign === '"' || sign === "'") quote = sign;
    else if (sign === "{" || sign === "[") {
      open.push({ sign, key: keyBefore(line.slice(piece, at)) });
      piece = at + 1;
    } else if (sign === "}" || sign === "]") {
      open.pop();
      piece = at + 1;
    } else if (sign === ",") piece = at + 1;
  }
  if (!open.length) return null;
  const path = open.filter((one) => one.key).map((one) => one.key);
  const words = line.slice(piece).trimStart();
  const pair = /^("[^"]*"|'[^']*'|[^:\s][^:]*):\s(.*)$/.exec(words);
  if (pair) return { path, key: unquoted(pair[1]), prefix: pair[2].trimStart() };
  if (open.at(-1).sign === "[") return { path: path.slice(0, -1), key: open.at(-1).key || null, prefix: words };
  return { path, key: null, prefix: words };
}

function keyBefore(text) {
  const found = /([^\s:{}[\],][^:{}[\],]*):\s*$/.exec(text);
  return found ? unquoted(found[1].replace(/^(- +)+/, "")) : "";
}
