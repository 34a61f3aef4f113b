// A proof of inclusion, worked through in the browser: from the entry's bytes to a signed tree head, one step after the other.
// Nothing of the answer is believed before it was computed again here.

const HEADER = "c2sp.org/tlog-proof@v1";

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

export function hex(bytes) {
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
}

function joined(...parts) {
  const made = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

const leafOf = (body) => sha256(Uint8Array.of(0), body);
const nodeOf = (left, right) => sha256(Uint8Array.of(1), left, right);

/** The parts of a proof file. Throws Error for what is none. */
export function parse(text) {
  const gap = text.indexOf("\n\n");
  const lines = text.slice(0, gap).split("\n");
  const index = /^index (0|[1-9][0-9]*)$/.exec(lines[2] ?? "");
  if (gap < 0 || lines[0] !== HEADER || !lines[1]?.startsWith("extra ") || !index) throw new Error(HEADER);
  return {
    body: bytesOf(lines[1].slice(6)),
    index: Number(index[1]),
    path: lines.slice(3).map(bytesOf),
    note: noteOf(text.slice(gap + 2)),
  };
}

function noteOf(text) {
  const end = text.lastIndexOf("\n\n");
  const signed = text.slice(0, end + 1);
  const [origin, size, root] = signed.split("\n");
  const signatures = text.slice(end + 2).split("\n").filter(Boolean).map((line) => {
    const [, name, value] = /^\u2014 (\S+) (\S+)$/.exec(line) ?? [];
    const data = bytesOf(value ?? "");
    return { name, id: hex(data.slice(0, 4)), value: data.slice(4) };
  });
  return { signed, origin, size: Number(size), root: bytesOf(root ?? ""), signatures };
}

/** The root that a leaf and its path lead to (RFC 9162, 2.1.3.2), with every hash on the way; null for a path of another length. */
export async function climb(leaf, index, size, path) {
  if (index >= size) return null;
  const way = [leaf];
  let [at, last, hash] = [BigInt(index), BigInt(size) - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) return null;
    if (at & 1n || at === last) {
      hash = await nodeOf(sibling, hash);
      while (!(at & 1n) && at !== 0n) [at, last] = [at >> 1n, last >> 1n];
    } else {
      hash = await nodeOf(hash, sibling);
    }
    way.push(hash);
    [at, last] = [at >> 1n, last >> 1n];
  }
  return last === 0n ? { root: hash, way } : null;
}

/** Whether the note is signed by a key (`NAME+ID+KEY`): true, false, or null where this browser cannot tell. */
export async function signed(note, line) {
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(line.trim()) ?? [];
  if (!name) return false;
  const key = bytesOf(encoded);
  const encoder = new TextEncoder();
  const known = hex((await sha256(encoder.encode(`${name}\n`), key)).slice(0, 4));
  const signature = note.signatures.find((one) => one.name === name && one.id === id);
  if (known !== id || key[0] !== 1 || !signature) return false;
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key.slice(1), { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
  return crypto.subtle.verify("Ed25519", imported, signature.value, encoder.encode(note.signed));
}

/**
 * Work a proof through. `say(step, good, values)` is told of each: `read`, `body`, `leaf`, `path`, `signature`; good is null
 * where nobody can tell. `wanted`: what the page says of the entry: decision, index, leaf. Resolves to whether all hold.
 */
export async function prove(text, keyLine, wanted, say) {
  let proof;
  try {
    proof = parse(text);
  } catch {
    say("read", false, { index: "–", hashes: "–", size: "–" });
    return false;
  }
  const { note } = proof;
  const results = [];
  const tell = (step, good, values) => {
    results.push(good);
    say(step, good, values);
  };
  tell("read", proof.index === wanted.index, { index: proof.index, hashes: proof.path.length, size: note.size });
  const body = JSON.parse(new TextDecoder().decode(proof.body));
  tell("body", wanted.decision === "" || body.id === wanted.decision, { bytes: proof.body.length, decision: body.id ?? "–" });
  const leaf = await leafOf(proof.body);
  tell("leaf", hex(leaf) === wanted.leaf, { hash: hex(leaf) });
  const climbed = await climb(leaf, proof.index, note.size, proof.path);
  const root = climbed ? hex(climbed.root) : "–";
  const way = climbed ? climbed.way.map(hex) : [];
  tell("path", climbed !== null && root === hex(note.root), { root, signed: hex(note.root), size: note.size, way });
  tell("signature", await signed(note, keyLine), { key: keyLine.trim(), origin: note.origin });
  return results.every((good) => good !== false);
}
