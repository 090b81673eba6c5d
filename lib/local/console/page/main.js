/* Hears the news, and leads from the list to a delivery and back. */
import { draw, focusTitle, opened, show, tick, wireDetail } from "./detail.js";
import { edit, wireForm } from "./form.js";
import { activate, clearFilter, fillList, isFiltered, reveal, wireList } from "./list.js";
import { store } from "./store.js";
import { $, ask, clock, el, narrow, say, stateText, visible } from "./words.js";

const { deliveries } = store;
const main = document.querySelector("main");

/* ---- News from the server ---- */
function take(update) {
  if (update.all) deliveries.clear();
  store.state = update.state;
  for (const each of update.deliveries) {
    const before = deliveries.get(each.number);
    each.fresh = !update.all && (!before || before.fresh);
    deliveries.set(each.number, each);
    if (!update.all && before?.queue !== each.queue && each.queue !== "sending") say(`Delivery ${each.number}: ${stateText(each)}`);
  }
  for (const number of [...deliveries.keys()]) if (number < update.oldest) deliveries.delete(number);
  fillList();
  fillFooter();
  if ($("fault").value !== store.state.fault) $("fault").value = store.state.fault;
  $("fault").classList.toggle("on", store.state.fault !== "none");
  if (update.all) openFirst();
  else if (update.deliveries.some((each) => each.number === store.selected) || (store.selected && !deliveries.has(store.selected))) show();
  openPending();
}
function fillFooter() {
  const { state } = store;
  const words = { running: `running since ${clock(state.started_at ?? 0)}`, starting: "starting anew …", down: "does not start" };
  const problems = [state.function === "down" ? state.reason : state.schema, state.trouble].filter(Boolean);
  const parts = store.live
    ? [el("span", {}, "Function ", el("b", { text: words[state.function] ?? "starting …" })), el("span", { text: state.url ?? "" }), el("span", { text: state.database ?? "" }),
      state.speed > 1 ? el("span", { text: `ModelRiver’s clock ${state.speed} times as fast` }) : null,
      problems.map((text) => el("span", { class: "problem", text: `✕ ${visible(text)}` }))]
    : [el("span", { class: "problem", text: "✕ No connection: make dev has ended. Once it runs again, this page goes on." })];
  const built = el("footer", {}, parts);
  if (built.textContent !== $("footer").textContent) $("footer").replaceChildren(...built.childNodes);
}
function listen() {
  const events = new EventSource("/events");
  events.onmessage = (message) => { store.live = true; take(JSON.parse(message.data)); };
  events.onerror = () => {
    store.live = false;
    fillFooter();
    // A browser asks again by itself, but not after a 404, as make dev answers while it starts.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  };
}

/* ---- From the list to a delivery, and back ---- */
/* A delivery's number, or its channel, by which `make send` links to it. */
function ofHash() {
  const text = decodeURIComponent(location.hash.slice(1));
  const named = [...deliveries.values()].filter((each) => text && each.channel === text).at(-1);
  return named?.number ?? (Number(text) || null);
}
function openFirst() {
  const hash = ofHash();
  if (hash && deliveries.has(hash)) {
    // So that "back" leads to the list, whatever was open before this page.
    if (!history.state?.opened) { history.replaceState(null, "", location.pathname); history.pushState({ opened: true }, "", `#${hash}`); }
    view(hash);
  } else {
    if (hash) history.replaceState(null, "", location.pathname);
    view(narrow() ? null : deliveries.has(store.selected) ? store.selected : Math.max(...deliveries.keys(), 0) || null, "list");
  }
}
/* Shows a delivery; where there is room for one only, instead of the list. */
function view(number, as = number ? "detail" : "list") {
  if (number !== store.selected) {
    Object.assign(store, { selected: number, attempt: null, other: null, detail: null });
    opened.clear();
    $("detail").scrollTop = 0;
  }
  main.dataset.view = as;
  if (number) reveal(number);
  activate(number ? `d${number}` : null);
  show();
}
function choose(number, opens, focuses = false) {
  if (opens || ofHash()) {
    if (ofHash()) history.replaceState(history.state, "", `#${number}`); else history.pushState({ opened: true }, "", `#${number}`);
  }
  if (focuses) focusTitle();
  view(number);
  if (opens && narrow()) scrollTo(0, 0);
}
function back() { if (history.state?.opened) history.back(); else toList(); }
function toList() {
  view(narrow() ? null : store.selected, "list");
  $("list").focus();
}
addEventListener("popstate", () => { const hash = ofHash(); if (hash && deliveries.has(hash)) view(hash); else toList(); });
addEventListener("keydown", (event) => {
  const inDetail = $("detail").contains(document.activeElement);
  if (event.key === "Escape" && inDetail) { if (narrow()) back(); else $("list").focus(); }
  const types = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  if (event.key === "/" && !types && !event.ctrlKey && !event.metaKey) { event.preventDefault(); $("of-text").focus(); }
});

/* ---- What was just sent ---- */
let pending = null;
function openPending() {
  if (!pending || !deliveries.has(pending)) return;
  const number = pending;
  pending = null;
  if (isFiltered()) clearFilter();  // what was just sent is to be seen, whatever comes of it
  if (narrow()) reveal(number); else { if (ofHash()) history.replaceState(history.state, "", `#${number}`); view(number); }
}
function editHere(number) {
  const isStored = store.detail?.number === number && store.detail.row.columns.length > 0;
  if (narrow()) toList();
  edit(number, isStored);
}

wireList(choose);
wireDetail({ back, edit: editHere });
wireForm((numbers) => { pending = numbers[0]; openPending(); });
const press = (path, content) => ask(path, content).catch((error) => say(error.message));
$("fault").addEventListener("change", () => press("/faults", { fault: $("fault").value }));
$("replay").addEventListener("click", () => press("/dead-letters/replay", {}));
$("clear").addEventListener("click", () => press("/deliveries/clear", {}));
setInterval(() => {
  if ([...deliveries.values()].some((each) => each.queue === "waiting" || each.person === "waiting")) fillList();
  tick();
}, 250);
draw();
listen();
