/* The list: filtered, batches as one line that opens. */
import { store } from "./store.js";
import { $, ask, clock, el, mark, ms, narrow, person, PERSON, personText, set, stateText, style, visible } from "./words.js";

const opened = new Set();
let limit = null, wanted = "", ofRow = "", choose = () => {};
const pageful = () => narrow() ? 25 : 100;

/* ---- The filter ---- */
const STATES = { ...Object.fromEntries(Object.entries(PERSON).map(([name, [, , words]]) => [name, words])), dead: "dead letters" };
const isIn = (each, state) => state === "dead" ? each.queue === "dead" : person(each) === state;
function matches(each, text) {
  if ($("of-state").value && !isIn(each, $("of-state").value)) return false;
  if ($("of-event").value && JSON.stringify(each.event) !== $("of-event").value) return false;
  return !text || [each.channel, each.title, each.event ?? "", each.record].some((value) => value.toLowerCase().includes(text));
}
export const isFiltered = () => Boolean($("of-state").value || $("of-event").value || $("of-text").value.trim());
export function clearFilter() {
  $("of-state").value = $("of-event").value = $("of-text").value = "";
  fillList();
}
/* A row's id that no callback has told yet: Postgres knows its channel. */
async function lookUp(text) {
  wanted = text; ofRow = "";
  if (!/^[0-9a-f-]{36}$/.test(text)) return;
  const { channel } = await ask(`/rows/${text}/channel`).catch(() => ({ channel: "" }));
  if (wanted === text && channel) { ofRow = channel.toLowerCase(); fillList(); }
}
function fillChoices(all) {
  const events = new Map(all.map((each) => [JSON.stringify(each.event), each.event]));
  options($("of-event"), "Every event", [...events].map(([value, event]) => [value, event === null ? "no event name" : visible(event).slice(0, 60)]));
  options($("of-state"), "Every state", Object.entries(STATES).map(([value, words]) => {
    const count = all.filter((each) => isIn(each, value)).length;
    return [value, `${words} (${count})`, count];
  }).filter(([value, , count]) => count || value === $("of-state").value));
}
function options(select, all, choices) {
  const built = [["", all], ...choices], before = select.value;
  if (select.options.length === built.length && built.every(([value, words], i) => select.options[i].value === value && select.options[i].text === words)) return;
  select.replaceChildren(...built.map(([value, text]) => el("option", { value, text })));
  select.value = built.some(([value]) => value === before) ? before : "";
}

/* ---- Which lines there are ---- */
function lines() {
  const all = [...store.deliveries.values()].sort((a, b) => b.number - a.number);
  fillChoices(all);
  const typed = $("of-text").value.trim().toLowerCase();
  if (typed !== wanted) lookUp(typed);
  let found = all.filter((each) => matches(each, typed));
  if (!found.length && ofRow) found = all.filter((each) => matches(each, ofRow));
  const made = [], seen = new Set();
  for (const each of found) {
    if (!each.batch || isFiltered()) { made.push({ key: `d${each.number}`, each, level: 1 }); continue; }
    if (seen.has(each.batch)) continue;
    seen.add(each.batch);
    const members = found.filter((other) => other.batch === each.batch).reverse();
    made.push({ key: `b${each.batch}`, batch: each.batch, members, level: 1 });
    if (opened.has(each.batch)) made.push(...members.map((one) => ({ key: `d${one.number}`, each: one, level: 2 })));
  }
  return { made, found: found.length, all };
}
let drawn = [];
export function fillList() {
  const { made, found, all } = lines();
  limit ??= pageful();
  const at = made.findIndex(({ key }) => key === `d${store.selected}`);
  if (at >= limit) limit = at + 10;
  drawn = made.slice(0, limit);
  const items = drawn.map((line) => {
    const item = $(line.key) ?? (line.batch ? batchItem(line) : listItem(line.each));
    if (line.batch) fillBatch(item, line); else fillItem(item, line);
    return item;
  });
  const wantedItems = new Set(items), list = $("list");
  for (const item of [...list.children]) if (!wantedItems.has(item)) item.remove();
  items.forEach((item, i) => { if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null); });
  const dead = all.filter((each) => each.queue === "dead").length;
  set($("count"), !all.length ? "" : found === all.length ? String(all.length) : `${found} of ${all.length}`);
  set($("replay"), `Replay ${dead} dead letter${dead === 1 ? "" : "s"}`);
  $("replay").hidden = !dead;
  $("clear").hidden = $("filter").hidden = !all.length;
  $("unfilter").hidden = !isFiltered();
  $("more").hidden = made.length <= limit;
  set($("more"), `${made.length - limit} more`);
  $("list").hidden = !made.length;
  $("empty").hidden = made.length > 0;
  set($("empty"), all.length ? "No delivery matches this filter." : "None yet. What you send appears here, newest first.");
  markActive();
}
function markActive() {
  for (const item of $("list").children) item.setAttribute("aria-selected", String(item.id === active));
  if (active && $(active)) $("list").setAttribute("aria-activedescendant", active); else $("list").removeAttribute("aria-activedescendant");
}
/* The line that the arrow keys are on: the selected delivery, or a batch. */
let active = null;
export function activate(key) { active = key; markActive(); }

/* ---- One line ---- */
function listItem(each) {
  return el("li", { role: "treeitem", id: `d${each.number}`, onclick: () => choose(each.number, true) },
    el("span", { class: "mark", "aria-hidden": "true" }),
    el("span", { class: "title" }, el("b"), el("span", { class: "soft" })),
    el("span", { class: "right nums" }), el("small", { class: "nums words" }), el("small", { class: "right nums" }));
}
function fillItem(item, { each, level }) {
  const [sign, title, right, words, time] = item.children;
  item.className = `${style(each)} ${each.queue} level${level}${each.fresh ? " fresh" : ""}`;
  item.setAttribute("aria-level", level);
  set(sign, mark(each));
  const event = each.event === null ? "no event name" : visible(each.event);
  set(title.children[0], visible(each.title) || event);
  set(title.children[1], each.title ? event : "");
  set(right, each.ms === null ? "" : each.status ? ms(each.ms) : "no answer");
  set(words, stateText(each));
  set(time, clock(each.born_at));
}
function batchItem({ batch }) {
  return el("li", { role: "treeitem", id: `b${batch}`, "aria-level": "1", onclick: () => toggle(batch) },
    el("span", { class: "mark", "aria-hidden": "true" }),
    el("span", { class: "title" }, el("b"), el("span", { class: "soft" })),
    el("span", { class: "right fold", "aria-hidden": "true" }), el("small", { class: "nums words" }), el("small", { class: "right nums" }));
}
/* How many of each, the most frequent first: "98 × 200, 2 × 401". */
function tally(values, show) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([value, count]) => show(value, count)).join(", ");
}
const WORST = ["never", "late", "waiting", "told", "nobody", "shown"];
function fillBatch(item, { batch, members }) {
  const [sign, title, fold, words, time] = item.children;
  const worst = WORST.map((name) => members.find((each) => person(each) === name)).find(Boolean);
  item.className = `batch ${style(worst)}`;
  item.setAttribute("aria-expanded", String(opened.has(batch)));
  set(sign, mark(worst));
  set(title.children[0], `${members.length} sent`);
  set(title.children[1], visible(members[0].event ?? members[0].title));
  set(fold, opened.has(batch) ? "▾" : "▸");
  const slowest = Math.max(...members.map((each) => each.ms ?? 0));
  const statuses = tally(members.map((each) => each.status), (value, count) => `${count} × ${value === null ? "…" : value || "no answer"}`);
  const persons = tally(members.map((each) => personText(each)), (value, count) => `${count} ${value}`);
  set(words, `${statuses}${slowest ? `, slowest ${ms(slowest)}` : ""}${person(worst) === "shown" ? "" : ` · ${persons}`}`);
  set(time, clock(members[0].born_at));
}
function toggle(batch, open = !opened.has(batch)) {
  if (open) opened.add(batch); else opened.delete(batch);
  active = `b${batch}`;
  fillList();
}
/* Makes a delivery's line visible, whatever hides it. */
export function reveal(number) {
  const each = store.deliveries.get(number);
  if (each?.batch) opened.add(each.batch);
  if (each && isFiltered() && !lines().made.some(({ key }) => key === `d${number}`)) clearFilter();
  fillList();
  $(`d${number}`)?.scrollIntoView({ block: "nearest" });
}

/* ---- Wiring ---- */
function onKey(event) {
  const at = drawn.findIndex(({ key }) => key === active), line = drawn[at];
  const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, Home: 0, End: drawn.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
  if (to !== undefined && drawn.length) {
    event.preventDefault();
    const { key, each } = drawn[Math.min(Math.max(to, 0), drawn.length - 1)];
    activate(key);
    if (each && !narrow()) choose(each.number, false);
    $(key).scrollIntoView({ block: "nearest" });
  } else if (line?.batch && ["Enter", "ArrowRight", "ArrowLeft", " "].includes(event.key)) {
    event.preventDefault();
    toggle(line.batch, event.key === "ArrowRight" ? true : event.key === "ArrowLeft" ? false : undefined);
  } else if (line?.level === 2 && event.key === "ArrowLeft") {
    event.preventDefault();
    activate(`b${line.each.batch}`);
  } else if (line?.each && event.key === "Enter") {
    event.preventDefault();
    choose(line.each.number, true, true);
  }
}
export function wireList(onChoose) {
  choose = onChoose;
  $("list").addEventListener("keydown", onKey);
  for (const name of ["of-state", "of-event", "of-text"]) $(name).addEventListener("input", () => { limit = null; fillList(); });
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("of-text").addEventListener("keydown", (event) => { if (event.key === "Escape") clearFilter(); });
  $("unfilter").addEventListener("click", () => { clearFilter(); $("of-text").focus(); });
  $("more").addEventListener("click", () => { limit += pageful(); fillList(); });
}
