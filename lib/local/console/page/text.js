/* Texts that came over the wire, laid out for reading. */
import { el, size, visible } from "./words.js";

export const options = { exact: false };

/* JSON laid out for reading: tokens stay as they are, only white space is added. */
function layout(text, from, to) {
  const pieces = [];
  let depth = 0, i = 0;
  const add = (string, kind, at) => pieces.push([string, kind, at === undefined ? null : at >= from && at < to]);
  const line = () => add("\n" + "  ".repeat(Math.min(depth, 20)), "");
  while (i < text.length) {
    const c = text[i];
    if (c === '"') {
      let end = i + 1;
      while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
      end = Math.min(end + 1, text.length);
      const isKey = /^\s*:/.test(text.slice(end, end + 9));
      add(text.slice(i, end), isKey ? "k" : "s", i);
      i = end;
    } else if (c === "{" || c === "[") {
      add(c, "p", i); i += 1;
      if (text[i] === "}" || text[i] === "]") { add(text[i], "p", i); i += 1; } else { depth += 1; line(); }
    } else if (c === "}" || c === "]") { depth = Math.max(0, depth - 1); line(); add(c, "p", i); i += 1; }
    else if (c === ",") { add(c, "p", i); line(); i += 1; while (text[i] === " " || text[i] === "\n") i += 1; }
    else if (c === ":") { add(": ", "p", i); i += 1; while (text[i] === " ") i += 1; }
    else {
      let end = i + 1;
      while (end < text.length && !'"{}[],:'.includes(text[end])) end += 1;
      add(text.slice(i, end), "", i); i = end;
    }
  }
  return pieces;
}

export function textBlock(content, key, signed = null) {
  const pre = el("pre", { tabindex: "0", "data-key": key, "aria-label": "Content" });
  const from = signed ? signed.start : 0, to = signed ? signed.end : content.text.length;
  const isJson = /^\s*[[{"]/.test(content.text);
  const pieces = options.exact || !isJson
    ? [[content.text.slice(0, from), "", false], [content.text.slice(from, to), "", true], [content.text.slice(to), "", false]]
    : layout(content.text, from, to);
  const partly = signed && (from > 0 || to < content.text.length);
  for (const [text, kind, covered] of pieces) {
    if (!text) continue;
    if (covered === null || (!kind && !partly)) pre.append(visible(text));
    else if (!partly) pre.append(el("span", { class: kind, text: visible(text) }));
    else pre.append(covered ? el("mark", { class: kind, text: visible(text) }) : el("span", { class: `${kind} out`, text: visible(text) }));
  }
  return [pre, content.cut ? el("p", { class: "note", text: `The beginning of ${size(content.size)} (${content.size.toLocaleString("en")} bytes).` }) : null];
}
