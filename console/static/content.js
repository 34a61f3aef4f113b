// Revealed content: a text with what was found in it, an image with its regions, an audio that can be played. Texts go into the
// page as texts. Files stay in this page: they have no address of their own that could be opened, or kept, without a record.

import { element } from "./console.js";

/** An address, within this page alone, of the file of a part. */
export function file(one) {
  const letters = atob(one.base64);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
  return URL.createObjectURL(new Blob([bytes], { type: one.media_type }));
}

/** A file to be kept. */
export function kept(one, url, words) {
  const name = `content.${one.media_type.split("/")[1].replace(/^x-|;.*$/g, "")}`;
  return element("a", words.download, { href: url, download: name, class: "button" });
}

/** An audio with the means to play it; what the browser cannot play can still be kept. */
export function played(one, words) {
  const url = file(one);
  const player = element("audio", [], { src: url, controls: true, preload: "metadata", "aria-label": words.audio, tabindex: "0", class: "seen" });
  const told = element("p", words.unplayable, { class: "notice warn", hidden: true });
  player.addEventListener("error", () => {
    told.hidden = false;
  });
  return element("div", [player, told, element("p", kept(one, url, words))]);
}

/** A text as nodes: what was found is marked, with its labels. Places count code points, and may overlap. */
export function marked(text, places) {
  const letters = [...text];
  const spans = places.filter((one) => one.start !== undefined && one.end > one.start);
  const cuts = [...new Set([0, letters.length, ...spans.flatMap((one) => [one.start, one.end])])]
    .filter((cut) => cut >= 0 && cut <= letters.length)
    .sort((a, b) => a - b);
  return cuts.slice(0, -1).map((start, number) => {
    const piece = letters.slice(start, cuts[number + 1]).join("");
    const labels = [...new Set(spans.filter((one) => one.start <= start && one.end > start).map((one) => one.label))];
    if (!labels.length) return document.createTextNode(piece);
    const first = spans.some((one) => one.start === start);
    return element("mark", [piece, first ? element("span", ` ${labels.join(", ")}`, { class: "tag" }) : null], { title: labels.join(", ") });
  });
}

/** An image with boxes where something was found. Resolves when its size is known. */
export async function framed(url, places, words) {
  const image = element("img", [], { src: url, alt: words.image });
  await image.decode().catch(() => undefined);
  const [width, height] = [image.naturalWidth || 1, image.naturalHeight || 1];
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("aria-hidden", "true");
  const regions = places.filter((one) => one.left !== undefined);
  for (const one of regions) {
    const box = document.createElementNS(drawing.namespaceURI, "rect");
    const values = { x: one.left, y: one.top, width: one.right - one.left, height: one.bottom - one.top };
    for (const [name, value] of Object.entries(values)) box.setAttribute(name, value);
    const title = document.createElementNS(drawing.namespaceURI, "title");
    title.textContent = one.label;
    box.append(title);
    drawing.append(box);
  }
  const labels = [...new Set(regions.map((one) => one.label))];
  const frame = element("div", [image, drawing], { class: "framed" });
  return [frame, labels.length ? element("p", `${words.regions}: ${labels.join(", ")}`, { class: "small soft" }) : null];
}

/** Show one part of a stored content in place of its mask. */
export async function part(one, places, words) {
  const title = element("h3", words[`part_${one.part}`] ?? one.part);
  if (one.why !== undefined) return element("div", [title, element("p", `${words.unreadable} ${one.why}`, { class: "notice warn" })]);
  if (one.text !== undefined) return element("div", [title, element("pre", marked(one.text, places), { class: "revealed" })]);
  if (one.media_type.startsWith("image/")) return element("div", [title, ...(await framed(file(one), places, words))]);
  if (one.media_type.startsWith("audio/")) return element("div", [title, played(one, words)]);
  return element("div", [title, kept(one, file(one), words)]);
}
