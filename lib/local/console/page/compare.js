/* Two attempts side by side, where they differ. */
import { clock, el, ms, visible } from "./words.js";

function* members(value, path) {
  if (value !== null && typeof value === "object") {
    for (const [name, inner] of Object.entries(value)) yield* members(inner, path ? `${path}.${name}` : name);
  } else yield [path, typeof value === "string" ? value : JSON.stringify(value)];
}
function parts(exchange) {
  const { answer, body, log } = exchange;
  const all = new Map([["verdict", exchange.diagnosis], ["at", clock(exchange.began_at)]]);
  if (answer) {
    all.set("answer", answer.status ? String(answer.status) : "none").set("answered after", ms(answer.ms)).set("answer’s body", answer.body.text);
  }
  for (const [path, value] of members(log, "")) all.set(`log: ${path}`, value);
  for (const [name, value] of exchange.headers) all.set(`sent: ${name}`, value);
  let content = null;
  try { content = JSON.parse(body.text); } catch { /* cut, or no JSON */ }
  if (content === null) all.set("body", body.text);
  else for (const [path, value] of members(content, "")) all.set(`body: ${path}`, value);
  return all;
}
export function comparison(exchanges, one, other) {
  const [first, second] = [one, other].map((at) => parts(exchanges[at]));
  const table = el("table", { class: "compare" }, el("thead", {}, el("tr", {}, el("th", { scope: "col", text: "" }),
    el("th", { scope: "col", text: `Attempt ${one + 1}` }), el("th", { scope: "col", text: `Attempt ${other + 1}` }))));
  const body = el("tbody");
  for (const name of new Set([...first.keys(), ...second.keys()])) {
    const [a, b] = [first.get(name), second.get(name)];
    if (a === b) continue;
    const cells = [a, b].map((value) => el("td", { text: value === undefined ? "–" : visible(value.slice(0, 500)) }));
    body.append(el("tr", {}, el("th", { scope: "row", text: visible(name) }), cells));
  }
  table.append(body);
  return table;
}
