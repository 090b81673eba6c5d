/* Small helpers, and what is said of a delivery. */
export const $ = (id) => document.getElementById(id);

/* Whatever comes from a delivery goes through textContent, made visible. */
export function el(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
export function set(node, text) { if (node.textContent !== text) node.textContent = text; }

const code = (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
/* Control characters and those that turn the writing direction must not rearrange the page. */
export const visible = (text) => text
  .replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
  .replace(/[\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, code)
  .replace(/\p{Surrogate}/gu, code);

export const size = (bytes) => bytes < 1000 ? `${bytes} bytes` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
export function ms(value) {
  if (value === null) return "";
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits)} ms`;
}
export const clock = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");
export const now = () => Date.now() / 1000;
export function span(seconds) {
  const left = Math.max(0, Math.ceil(seconds)), two = (n) => String(n).padStart(2, "0");
  if (left >= 3600) return `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
  return `${Math.floor(left / 60)}:${two(left % 60)}`;
}
export const narrow = () => matchMedia("(max-width: 50rem)").matches;
export const say = (text) => { $("news").textContent = text; };

export async function ask(path, content) {
  let answer;
  try {
    answer = await fetch(path, content === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
  } catch { throw new Error("make dev does not answer. Nothing was sent."); }
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.error), { position: told.position });
  return told;
}

/* How the person fares who waits: mark, colour, words. */
export const PERSON = {
  shown: ["✓", "good", "shown to the person"],
  told: ["!", "wait", "told that it failed"],
  waiting: ["…", "wait", "the person waits"],
  late: ["✕", "bad", "came too late"],
  never: ["✕", "bad", "never will be told"],
  nobody: ["–", "soft", "nobody waits"],
};
export function person(each) {
  return each.person === "waiting" && now() >= each.window_ends_at ? "never" : each.person;
}
export const mark = (each) => PERSON[person(each)][0];
export const style = (each) => PERSON[person(each)][1];
export const personText = (each) => PERSON[person(each)][2];
export function queueText(each) {
  const count = each.attempts;
  switch (each.queue) {
    case "sending": return count > 1 ? `attempt ${count} under way` : "being delivered";
    case "waiting": return each.due_at === null ? "waiting" : `attempt ${count + 1} in ${span(each.due_at - now())}`;
    case "delivered": return count > 1 ? `delivered at attempt ${count}` : "delivered";
    case "refused": return `answered ${each.status}`;
    default: return `dead letter after ${count} attempts`;
  }
}
export const stateText = (each) => `${personText(each)} · ${queueText(each)}${each.is_ours ? "" : " · from elsewhere"}`;
