"use strict";
const $ = (id) => document.getElementById(id);
const deliveries = new Map();
let state = {}, live = false, presets = {}, selected = null, attempt = null, detail = null, exact = false;

/* ---- Small helpers. Whatever comes from a delivery goes through textContent, made visible. ---- */
function el(name, props = {}, ...children) {
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
// Control characters and those that turn the writing direction must not rearrange the page.
const visible = (text) => text
  .replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
  .replace(/[\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, code)
  .replace(/\p{Surrogate}/gu, code);
const code = (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
const size = (bytes) => bytes < 1000 ? `${bytes} bytes` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const ms = (value) => value === null ? "" : `${value >= 1000 ? Math.round(value).toLocaleString("en") : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
const clock = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");
const now = () => Date.now() / 1000;
function span(seconds) {
  const left = Math.max(0, Math.ceil(seconds)), two = (n) => String(n).padStart(2, "0");
  if (left >= 3600) return `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
  return `${Math.floor(left / 60)}:${two(left % 60)}`;
}
const narrow = () => matchMedia("(max-width: 50rem)").matches;
const say = (text) => { $("news").textContent = text; };
function set(node, text) { if (node.textContent !== text) node.textContent = text; }

async function post(path, content) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
  } catch { throw new Error("make dev does not answer. Nothing was sent."); }
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.error), { position: told.position });
  return told;
}

/* ---- What is said of a delivery ---- */
const MARKS = { delivered: "✓", waiting: "◷", dead: "✕", "not taken": "✕", sending: "…" };
function stateText(each) {
  if (each.state === "waiting") {
    return each.due_at === null ? "waiting" : `attempt ${each.attempts + 1} in ${span(each.due_at - now())}`;
  }
  return { delivered: "delivered", dead: "dead letter", "not taken": "not taken", sending: "being delivered" }[each.state];
}
function callbackText(each) {
  if (each.callback === "none") return !each.channel ? "no callback" : now() < each.window_ends_at ? "no callback yet" : "no callback in time";
  return { "in time": "callback in time", late: "callback too late", "failure told": "failure told" }[each.callback];
}
const attemptsText = (each) => each.is_ours ? `${each.attempts} of ${each.attempts_at_most}` : "elsewhere";
const attemptText = (each) => each.is_ours ? `  attempt ${attemptsText(each)} · ${callbackText(each)}` : `  from elsewhere · ${callbackText(each)}`;
const styleOf = (each) => each.state === "not taken" ? "dead" : each.state;

/* ---- The list ---- */
function listItem(each) {
  const item = el("li", { role: "option", id: `d${each.number}`, onclick: () => { select(each.number, true); } },
    el("span", { class: "mark", "aria-hidden": "true" }), el("span", { class: "title" }, el("b"), el("code", { class: "soft", text: visible(each.channel.slice(0, 8)) })), el("span", { class: "right nums" }),
    el("small", { class: "nums" }, el("span", { class: "state" }), el("span", { class: "rest" })),
    el("small", { class: "right nums" }));
  return item;
}
function fillItem(each) {
  let item = $(`d${each.number}`);
  if (!item) {
    item = listItem(each);
    if (each.fresh) item.classList.add("fresh");
    const after = [...$("list").children].find((other) => Number(other.id.slice(1)) < each.number);
    $("list").insertBefore(item, after ?? null);
  }
  const fresh = item.classList.contains("fresh") ? " fresh" : "";
  if (item.className !== styleOf(each) + fresh) item.className = styleOf(each) + fresh;
  item.setAttribute("aria-selected", String(each.number === selected));
  const [mark, title, right, rest, time] = item.children;
  set(mark, MARKS[each.state]);
  set(title.firstElementChild, each.event === null ? "no event name" : visible(each.event));
  title.classList.toggle("unnamed", each.event === null);
  set(right, each.ms === null ? "" : each.status || !each.is_ours ? ms(each.ms) : "no answer");
  set(rest.children[0], stateText(each));
  set(rest.children[1], ` · ${attemptsText(each)} · ${callbackText(each)}`);
  set(time, clock(each.born_at));
}
function fillList() {
  const dead = [...deliveries.values()].filter((each) => each.state === "dead").length;
  set($("list-title"), deliveries.size ? `Deliveries (${deliveries.size})` : "Deliveries");
  set($("replay"), dead ? `Replay ${dead} dead letter${dead === 1 ? "" : "s"}` : "Replay dead letters");
  $("replay").disabled = !dead;
  $("empty").hidden = deliveries.size > 0;
  $("list").hidden = deliveries.size === 0;
}

/* ---- News from the server ---- */
function take(update) {
  if (update.all) { deliveries.clear(); $("list").replaceChildren(); }
  state = update.state;
  for (const each of update.deliveries) {
    const before = deliveries.get(each.number);
    each.fresh = !update.all && !before;
    deliveries.set(each.number, each);
    fillItem(each);
    if (!update.all && before?.state !== each.state && each.state !== "sending") {
      say(`Delivery ${each.number}: ${stateText(each)}, ${callbackText(each)}`);
    }
  }
  for (const number of [...deliveries.keys()]) {
    if (number < update.oldest) { deliveries.delete(number); $(`d${number}`)?.remove(); }
  }
  fillList(); fillFooter();
  if ($("fault").value !== state.fault) $("fault").value = state.fault;
  $("fault").classList.toggle("on", state.fault !== "none");
  if (update.all) {
    const wanted = Number(location.hash.slice(1)) || null;
    const open = deliveries.has(wanted) ? wanted : deliveries.has(selected) ? selected : null;
    select(open ?? (narrow() ? null : Math.max(...deliveries.keys(), 0) || null));
  } else if (update.deliveries.some((each) => each.number === selected) || !deliveries.has(selected)) show();
}
function fillFooter() {
  const speed = state.speed > 1 ? el("span", { text: `ModelRiver’s clock ${state.speed} times as fast` }) : null;
  const words = { running: `running since ${clock(state.started_at ?? 0)}`, starting: "starting anew …", down: "does not start" };
  const problems = [state.function === "down" ? state.reason : "", state.schema ?? ""].filter(Boolean);
  const parts = live
    ? [el("span", {}, "Function ", el("b", { text: words[state.function] ?? "starting …" })), el("span", { text: state.url ?? "" }), el("span", { text: state.database ?? "" }), speed]
    : [el("span", { class: "problem", text: "✕ No connection: make dev has ended. Once it runs again, this page goes on." })];
  if (live) parts.push(...problems.map((text) => el("span", { class: "problem", text: `✕ ${visible(text)}` })));
  const built = el("footer", {}, parts);
  if (built.textContent !== $("footer").textContent) $("footer").replaceChildren(...built.childNodes);
}
function listen() {
  const events = new EventSource("/events");
  events.onmessage = (message) => { live = true; take(JSON.parse(message.data)); };
  events.onerror = () => { live = false; fillFooter(); };
}

/* ---- Selecting ---- */
function select(number, byPerson = false) {
  const changed = number !== selected;
  selected = number;
  if (changed) { attempt = null; detail = null; opened.clear(); }
  for (const item of $("list").children) item.setAttribute("aria-selected", String(item.id === `d${number}`));
  if (number) $("list").setAttribute("aria-activedescendant", `d${number}`); else $("list").removeAttribute("aria-activedescendant");
  const hash = number ? `#${number}` : location.pathname;
  const open = document.querySelector("main").dataset.view === "detail";
  if (byPerson && narrow() && !open) history.pushState(null, "", hash); else history.replaceState(null, "", hash);
  if (byPerson || location.hash) document.querySelector("main").dataset.view = number && (byPerson || open || changed) ? "detail" : "list";
  if (byPerson && narrow()) scrollTo(0, 0);
  if (changed) $("detail").scrollTop = 0;
  show();
}
function toList() {
  document.querySelector("main").dataset.view = "list";
  history.replaceState(null, "", location.pathname);
  $("list").focus();
}
addEventListener("popstate", () => {
  const number = Number(location.hash.slice(1));
  if (deliveries.has(number)) select(number); else document.querySelector("main").dataset.view = "list";
});
$("list").addEventListener("keydown", (event) => {
  const numbers = [...deliveries.keys()].sort((a, b) => b - a), at = numbers.indexOf(selected);
  const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, Home: 0, End: numbers.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
  if (to !== undefined && numbers.length) {
    event.preventDefault();
    const number = numbers[Math.min(Math.max(to, 0), numbers.length - 1)];
    if (narrow()) { selected = number; for (const each of deliveries.values()) fillItem(each); $("list").setAttribute("aria-activedescendant", `d${number}`); }
    else select(number);
    $(`d${number}`).scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" && selected) {
    event.preventDefault();
    select(selected, true);
    focusDetail = true;
    show();
  }
});
addEventListener("keydown", (event) => { if (event.key === "Escape" && $("detail").contains(document.activeElement)) toList(); });
let focusDetail = false;

/* ---- The detail ---- */
let asking = 0;
async function show() {
  const mine = ++asking;
  if (!selected || !deliveries.has(selected)) { detail = null; draw(); return; }
  const answer = await fetch(`/deliveries/${selected}`).catch(() => null);
  if (mine !== asking) return;
  detail = answer?.ok ? await answer.json() : null;
  if (mine === asking) draw();
}
function welcome() {
  return el("div", { class: "nothing" },
    wave(), el("p", { text: "Send an AI result: you will see it signed and delivered, the row that it becomes, and the callback that ModelRiver gets." }));
}
function wave() {
  const svg = document.querySelector(".brand svg").cloneNode(true);
  return svg;
}
function draw() {
  const root = $("detail");
  if (!detail) { if (!root.querySelector(".nothing")) root.replaceChildren(welcome()); return; }
  const active = document.activeElement, focused = root.contains(active) ? active.dataset.key : null;
  const scrolled = new Map([...root.querySelectorAll("pre[data-key]")].map((pre) => [pre.dataset.key, [pre.scrollTop, pre.scrollLeft]]));
  const sameDelivery = root.dataset.number === String(detail.number);
  const count = detail.exchanges.length;
  const at = attempt === null || attempt >= count ? count - 1 : attempt;
  const exchange = detail.exchanges[at];
  root.dataset.number = detail.number;
  const built = [head(), attempts(at), timeline(exchange), el("div", { class: "grid" },
    el("div", {}, detail.is_ours ? [sent(exchange), answered(exchange)] : card("The function’s log", logLines(exchange))), el("div", {}, rowCard(), callbacks()))];
  root.replaceChildren(...built);
  if (sameDelivery) {
    for (const pre of root.querySelectorAll("pre[data-key]")) {
      const [top, left] = scrolled.get(pre.dataset.key) ?? [0, 0]; pre.scrollTop = top; pre.scrollLeft = left;
    }
  }
  // Of the attempts the selected one, which is the latest until a person chooses.
  const again = focused?.startsWith("attempt") ? '[role="tab"][aria-selected="true"]' : focused && `[data-key="${CSS.escape(focused)}"]`;
  if (again) root.querySelector(again)?.focus({ preventScroll: true });
  if (focusDetail) { focusDetail = false; root.querySelector("h2").focus(); }
}
function head() {
  const each = detail;
  const label = { waiting: "Deliver now", dead: "Replay", delivered: "Redeliver", sending: "Redeliver" }[each.state] ?? "Redeliver";
  return el("div", { class: "head" },
    el("button", { type: "button", class: "back", "data-key": "back", onclick: toList, text: "← Deliveries" }),
    el("div", {},
      el("h2", { tabindex: "-1", "data-key": "title" }, each.event === null ? "No event name" : visible(each.event)),
      el("p", { class: "mono soft", text: visible(each.channel) }),
      el("p", { class: "nums" }, el("span", { class: `badge ${styleOf(each)}` }, el("span", { class: "mark", "aria-hidden": "true", text: MARKS[each.state] }), el("span", { id: "state-text", text: stateText(each) })),
        el("span", { id: "callback-text", text: attemptText(each) }))),
    el("button", { type: "button", class: "act", "data-key": "act", disabled: each.state === "sending" || !each.is_ours, text: label, onclick: redeliver }));
}
async function redeliver() {
  attempt = null;
  try { await post(`/deliveries/${detail.number}/redeliver`, {}); } catch (error) { say(error.message); }
}
function attempts(at) {
  if (!detail.is_ours) return el("p", { class: "attempts soft", text: "Not sent from this page: only what the function logged of it is known." });
  const box = el("div", { class: "attempts", role: "tablist", "aria-label": "Attempts" });
  detail.exchanges.forEach((each, index) => {
    const status = each.answer ? each.answer.status : null;
    const word = status === null ? "…" : status || "no answer";
    const good = status >= 200 && status < 300;
    box.append(el("button", {
      type: "button", role: "tab", "data-key": `attempt${index}`, "aria-selected": String(index === at), tabindex: index === at ? "0" : "-1",
      class: status === null ? "" : good ? "good nums" : "bad nums",
      onclick: () => { attempt = index; draw(); },
      onkeydown: (event) => {
        const to = { ArrowRight: index + 1, ArrowLeft: index - 1 }[event.key];
        if (to !== undefined && detail.exchanges[to]) { event.preventDefault(); attempt = to; draw(); $("detail").querySelector(`[data-key="attempt${to}"]`).focus(); }
      },
    }, `${index + 1} `, el("b", { text: `${status === null ? "" : good ? "✓ " : "✕ "}${word}` }), each.at === null ? "" : ` at ${each.at < 60 ? Math.round(each.at) + " s" : span(each.at)}`));
  });
  return box;
}
function timeline(exchange) {
  const steps = exchange ? exchange.steps : [];
  const whole = Math.max(...steps.map((step) => step.start + step.ms), 0.001);
  const box = el("div", { class: "steps nums body" });
  for (const step of steps) {
    const bar = el("span", { class: `bar ${step.name}` });
    bar.style.left = `${Math.min(step.start / whole * 100, 99.6)}%`;
    bar.style.width = `${step.ms / whole * 100}%`;
    box.append(el("span", { text: step.name }), el("span", { class: "track" }, bar), el("span", { class: "right soft", text: ms(step.ms) }));
  }
  if (steps.length) {
    const axis = el("span", { class: "axis", "aria-hidden": "true" });
    for (const share of [0, .25, .5, .75, 1]) axis.append(el("span", { text: share ? ms(whole * share) : "0" }));
    box.append(axis);
  } else box.append(el("p", { class: "soft", text: "The answer is awaited." }));
  return el("section", { class: "card timeline" }, el("header", {}, el("h3", { text: "Where the time went" }),
    el("span", { class: "note", text: "To scale. Before verify: HTTP, reading the body. After the answer: the note on the row." })), box);
}
function headersList(pairs, signed) {
  const list = el("dl");
  for (const [name, value] of pairs) {
    const mark = name === signed ? { class: "signed" } : {};
    list.append(el("dt", { ...mark, text: visible(name) }), el("dd", { ...mark, text: visible(value) }));
  }
  return list;
}
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
function textBlock(content, key, signed = null) {
  const pre = el("pre", { tabindex: "0", "data-key": key, "aria-label": "Content" });
  const from = signed ? signed.start : 0, to = signed ? signed.end : content.text.length;
  const isJson = /^\s*[[{"]/.test(content.text);
  const pieces = exact || !isJson
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
function card(title, ...content) {
  return el("section", { class: "card" }, el("header", {}, el("h3", { text: title })), el("div", { class: "body" }, content));
}
function sent(exchange) {
  if (!exchange) return card("The delivery, as sent", el("p", { class: "soft", text: "It is on its way." }));
  const { signature } = exchange, over = signature.over;
  const message = signature.prefix ? `"${signature.prefix}" + ${over}` : over;
  const partly = over === "data";
  const what = partly
    ? `Signs the timestamp and the text of data, the ${signature.bytes.toLocaleString("en")} bytes marked below. Of what stands outside, only channel_id and callback_url are used.`
    : signature.prefix ? `Signs the timestamp and the whole body, ${signature.bytes.toLocaleString("en")} bytes.`
      : `Signs the whole body, ${signature.bytes.toLocaleString("en")} bytes. The timestamp beside it is not covered.`;
  const box = el("input", { type: "checkbox", "data-key": "exact", onchange: (event) => { exact = event.target.checked; draw(); } });
  box.checked = exact;
  const made = card("The delivery, as sent",
    headersList(exchange.headers, signature.header),
    el("div", { class: `explain${signature.right ? "" : " wrong"}` },
      el("code", { text: `${signature.header} = hex(HMAC-SHA256(secret, ${message}))` }),
      signature.right ? what : `✕ Signed with a wrong secret. ${what}`),
    textBlock(exchange.body, "sent", signature));
  made.querySelector("header").append(el("label", {}, box, "exact text"));
  return made;
}
const logLines = (exchange) => exchange.lines.map((line, index) => textBlock({ text: line, cut: false }, `log${index}`));
function answered(exchange) {
  const log = exchange && exchange.lines.length ? el("div", {}, el("p", { class: "note", text: "The function’s log" }), logLines(exchange)) : null;
  if (!exchange || !exchange.answer) return card("Our answer", el("p", { class: "soft", text: "It is awaited, for up to 30 s." }), log);
  const { status, headers, body } = exchange.answer, good = status >= 200 && status < 300;
  if (!status) return card("Our answer", el("p", { class: "status bad", text: "✕ None" }), el("p", { class: "soft", text: "The connection was refused or cut, or 30 s went by." }), log);
  return card("Our answer",
    el("p", { class: `status nums ${good ? "good" : "bad"}` }, `${good ? "✓" : "✕"} ${status} `, el("span", { class: "note", text: `after ${ms(exchange.answer.ms)}` })),
    headersList(headers.filter(([name]) => !name.toLowerCase().startsWith("x-vercel-internal"))), body.size ? textBlock(body, "answer") : null, log);
}
function rowCard() {
  const { columns, problem } = detail.row;
  if (problem) return card("The row, in Postgres", el("p", { class: "error", text: visible(problem) }));
  if (!columns.length) return card("The row, in Postgres", el("p", { class: "soft", text: "There is none for this channel and event." }));
  const table = el("table");
  for (const { name, type, value } of columns) {
    const cell = el("td");
    if (value === null) cell.append(el("span", { class: "null", text: "null" }));
    else if (type.startsWith("json") || value.cut) cell.append(...textBlock(value, `row-${name}`).filter(Boolean));
    else cell.append(value.text === "" ? el("span", { class: "null", text: "empty" }) : visible(value.text));
    table.append(el("tr", { "data-column": name }, el("th", { scope: "row" }, visible(name), el("small", { text: type })), cell));
  }
  return card("The row, in Postgres", table);
}
/* Which callbacks a person opened or closed; of the others the last is open. */
const opened = new Map();
function callbacks() {
  const list = detail.callbacks;
  if (!list.length) {
    const open = now() < detail.window_ends_at;
    return card("The callback, as received", el("p", { class: "soft nums", id: "window", text: open ? windowText() : "None came in time." }));
  }
  return card("The callback, as received", list.map((each, index) => {
    const good = !each.answered || (each.answered >= 200 && each.answered < 300);
    const word = each.answered || "with silence: the connection was cut";
    const of = detail.is_ours ? ` · attempt ${detail.exchanges.filter((one) => one.began_at <= each.received_at).length}` : "";
    const open = opened.get(index) ?? index === list.length - 1;
    return el("details", { open },
      el("summary", { class: "nums", "data-key": `callback-${index}`, onclick: (event) => opened.set(index, !event.currentTarget.parentNode.open) },
        el("b", { text: `${good ? "✓" : "✕"} answered ${word}` }), `${of} · ${clock(each.received_at)} · ${each.in_window ? "in time" : "too late"}`),
      el("div", {}, each.problems.length ? el("p", { class: "error", text: `Not as documented: ${each.problems.join(", ")}` }) : null,
        headersList(each.headers.filter(([name]) => ["authorization", "content-type", "content-length", "host", "user-agent"].includes(name))),
        textBlock(each.body, `callback-body-${index}`)));
  }));
}
const windowText = () => `None yet. The person waits for another ${span(detail.window_ends_at - now())}.`;

/* ---- The form ---- */
const NAMES = { structured: "Structured", chat: "Chat", text: "Text", chinese: "中文 🎬", hostile: "Hostile", large: "4 MB" };
async function loadPresets() {
  const answer = await fetch("/presets");
  presets = (await answer.json()).presets;
  $("presets").append(...Object.keys(presets).map((name, index) => el("label", {},
    el("input", { type: "radio", name: "preset", value: name, checked: index === 0, onchange: () => choose(name) }), el("span", { text: NAMES[name] ?? name }))));
  choose(Object.keys(presets)[0]);
}
function choose(name) {
  const text = presets[name];
  $("result").value = text ?? "Four million characters of text are made when you send this.";
  $("result").readOnly = text === null;
  told("");
}
function told(text, bad = false) {
  set($("said"), text);
  $("said").className = bad ? "error" : "soft";
  $("result").setAttribute("aria-invalid", String(bad === "result"));
}
$("result").addEventListener("input", () => told(""));
$("result").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit(); });
$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const preset = new FormData($("form")).get("preset"), times = Number($("times").value);
  if (!(Number.isInteger(times) && times >= 1 && times <= 100)) { told("How often: a whole number from 1 to 100. Nothing was sent.", "times"); $("times").focus(); return; }
  try {
    const { numbers } = await post("/deliveries", {
      ai_result: $("result").readOnly ? null : $("result").value, preset, event: $("event").value,
      scheme: $("scheme").value, secret: $("secret").value, times, same: $("same").value === "same",
    });
    told(numbers.length === 1 ? `Sent as delivery ${numbers[0]}.` : `Sent as deliveries ${numbers[0]} to ${numbers.at(-1)}.`);
    if (!narrow()) pending = numbers[0];
    openPending();
  } catch (error) {
    told(error.message, error.position === undefined ? "form" : "result");
    if (error.position !== undefined) { $("result").focus(); $("result").setSelectionRange(error.position, Math.min(error.position + 1, $("result").value.length)); }
  }
});
let pending = null;
function openPending() { if (pending && deliveries.has(pending)) { const number = pending; pending = null; select(number); } }
$("fault").addEventListener("change", () => post("/faults", { fault: $("fault").value }).catch((error) => say(error.message)));
$("replay").addEventListener("click", () => post("/dead-letters/replay", {}).catch((error) => say(error.message)));

setInterval(() => {
  for (const each of deliveries.values()) if (each.state === "waiting" || each.callback === "none") fillItem(each);
  if (detail && deliveries.get(detail.number)) {
    const text = $("state-text"), left = $("window"), rest = $("callback-text");
    if (text) set(text, stateText(detail));
    if (rest) set(rest, attemptText(detail));
    if (left && now() < detail.window_ends_at) set(left, windowText());
  }
  openPending();
}, 250);
draw(); loadPresets(); listen();
