/* The selected delivery, with all that is known of it. */
import { comparison } from "./compare.js";
import { store } from "./store.js";
import { options, textBlock } from "./text.js";
import { $, ask, clock, el, mark, ms, now, person, personText, queueText, set, span, style, visible } from "./words.js";

let actions = { back() {}, edit() {} }, titleWanted = false, asking = 0;
export function wireDetail(given) { actions = given; }
export function focusTitle() { titleWanted = true; }

export async function show() {
  const mine = ++asking;
  if (!store.selected || !store.deliveries.has(store.selected)) { store.detail = null; draw(); return; }
  const answer = await fetch(`/deliveries/${store.selected}`).catch(() => null);
  if (mine !== asking) return;
  const detail = answer?.ok ? await answer.json() : null;
  if (mine !== asking) return;
  store.detail = detail;
  draw();
}
function welcome() {
  return el("div", { class: "nothing" }, document.querySelector(".brand svg").cloneNode(true),
    el("p", { text: "Send an AI result: you will see it signed and delivered, the row that it becomes, and the callback that ModelRiver gets." }));
}
/* Which attempt is shown: the latest, until a person chooses. */
function chosen() {
  const last = store.detail.exchanges.length - 1;
  return store.attempt === null || store.attempt > last ? last : store.attempt;
}
export function draw() {
  const root = $("detail"), { detail } = store;
  if (!detail) { if (!root.querySelector(".nothing")) { root.replaceChildren(welcome()); delete root.dataset.number; } return; }
  const active = document.activeElement, focused = root.contains(active) ? active.dataset.key : null;
  const scrolled = new Map([...root.querySelectorAll("pre[data-key]")].map((pre) => [pre.dataset.key, [pre.scrollTop, pre.scrollLeft]]));
  const same = root.dataset.number === String(detail.number);
  const menu = root.querySelector(".menu[open]") && same, typed = same ? $("curl-url")?.value : undefined;
  root.dataset.number = detail.number;
  if (said.number !== detail.number) said = { number: detail.number, text: "", bad: false };
  const at = chosen(), exchange = detail.exchanges[at];
  const other = store.other !== null && detail.exchanges[store.other] && store.other !== at ? store.other : null;
  root.replaceChildren(head(exchange, at), attempts(at, other),
    ...(other === null ? [] : [card("Where the attempts differ", comparison(detail.exchanges, Math.min(at, other), Math.max(at, other)))]),
    timeline(exchange), el("div", { class: "grid" },
      el("div", {}, sent(exchange), answered(exchange)), el("div", {}, rowCard(), callbacks())));
  if (menu) root.querySelector(".menu").open = true;
  if (typed !== undefined) $("curl-url").value = typed;
  if (same) for (const pre of root.querySelectorAll("pre[data-key]")) [pre.scrollTop, pre.scrollLeft] = scrolled.get(pre.dataset.key) ?? [0, 0];
  const again = focused?.startsWith("attempt") ? '[role="tab"][aria-selected="true"]' : focused && `[data-key="${CSS.escape(focused)}"]`;
  if (again) root.querySelector(again)?.focus({ preventScroll: true });
  tick();
  if (titleWanted) { titleWanted = false; root.querySelector("h2").focus(); }
}

/* ---- Its head ---- */
function head(exchange, at) {
  const { detail } = store, isLast = at === detail.exchanges.length - 1;
  const event = detail.event === null ? "no event name" : visible(detail.event);
  const good = exchange?.answer && exchange.answer.status >= 200 && exchange.answer.status < 300;
  const colour = isLast ? style(detail) : good ? "good" : "bad";
  const label = { waiting: "Deliver now", dead: "Replay" }[detail.queue] ?? "Redeliver";
  return el("div", { class: "head" },
    el("button", { type: "button", class: "back", "data-key": "back", onclick: actions.back, text: "← Deliveries" }),
    el("h2", { tabindex: "-1", "data-key": "title" }, visible(detail.title) || event, detail.title ? el("span", { class: "soft", text: event }) : null),
    el("div", { class: "acts" },
      el("button", { type: "button", class: "act", "data-key": "act", disabled: detail.queue === "sending", text: label, onclick: redeliver }),
      el("button", { type: "button", "data-key": "edit", text: "Edit and resend", onclick: () => actions.edit(detail.number) }),
      copies(), el("a", { class: "button", "data-key": "save", href: `/deliveries/${detail.number}/file`, download: "", text: "Save" })),
    el("p", { id: "diagnosis", class: `diagnosis ${colour}`, text: exchange ? visible(exchange.diagnosis) : "On its way." }),
    el("p", { class: "nums fate" }, el("span", { class: `badge ${style(detail)}`, id: "badge" }), el("span", { id: "queue" }), detail.is_ours ? null : " · from elsewhere"),
    el("p", { class: "mono soft channel", text: visible(detail.channel) || "no channel" }),
    el("p", { id: "done", role: "status", class: said.bad ? "error" : "soft", text: said.text }));
}
/* What changes with the clock alone. */
export function tick() {
  const { detail } = store;
  if (!detail || !$("badge")) return;
  const badge = $("badge");
  badge.className = `badge ${style(detail)}`;
  set(badge, `${mark(detail)} ${personText(detail)}`);
  const left = person(detail) === "waiting" ? ` for another ${span(detail.window_ends_at - now())}` : "";
  set($("queue"), `${left} · ${queueText(detail)}`);
  if ($("window")) set($("window"), windowText());
}
async function redeliver() {
  store.attempt = null;
  await ask(`/deliveries/${store.detail.number}/redeliver`, {}).catch((error) => done(error.message, true));
}
/* What came of a button, until the next one or another delivery. */
let said = { number: 0, text: "", bad: false };
function done(text, bad = false) {
  said = { number: store.detail.number, text, bad };
  $("done").className = bad ? "error" : "soft";
  set($("done"), text);
}

/* ---- Copying ---- */
function copies() {
  const { number, channel, select } = store.detail;
  const one = (name, get) => el("button", { type: "button", "data-key": `copy-${name}`, text: name, onclick: () => copy(name, get) });
  const url = el("input", { id: "curl-url", "data-key": "curl-url", value: store.state.url ?? "", spellcheck: "false", autocomplete: "off", "aria-label": "URL for curl" });
  return el("details", { class: "menu", onkeydown: (event) => {
    if (event.key === "Escape" && event.currentTarget.open) { event.stopPropagation(); event.currentTarget.open = false; event.currentTarget.firstElementChild.focus(); }
  } }, el("summary", { class: "button", "data-key": "copy", text: "Copy" }),
  el("div", {}, one("body", async () => {
    const answer = await fetch(`/deliveries/${number}/body`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    return answer.text();
  }), one("channel id", async () => channel), one("SELECT of the row", async () => select),
  one("curl, signed", async () => (await ask(`/deliveries/${number}/curl?url=${encodeURIComponent(url.value)}`)).command),
  el("label", { class: "field" }, el("span", { text: "curl sends it to" }), url)));
}
addEventListener("click", (event) => {
  const menu = $("detail").querySelector(".menu[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});
async function copy(name, get) {
  try {
    await navigator.clipboard.writeText(await get());
    $("detail").querySelector(".menu").open = false;
    $("detail").querySelector(".menu > summary").focus();
    done(`Copied: ${name}.`);
  } catch (error) { done(`Not copied: ${error.message}`, true); }
}

/* ---- Attempts ---- */
function attempts(at, other) {
  const { exchanges } = store.detail;
  const box = el("div", { class: "attempts", role: "tablist", "aria-label": "Attempts" });
  exchanges.forEach((each, index) => {
    const status = each.answer ? each.answer.status : null, good = status >= 200 && status < 300;
    const word = status === null ? "…" : status || "no answer";
    const when = each.at === null ? "" : ` at ${each.at < 60 ? `${Math.round(each.at)} s` : span(each.at)}`;
    box.append(el("button", {
      type: "button", role: "tab", "data-key": `attempt${index}`, "aria-selected": String(index === at), tabindex: index === at ? "0" : "-1",
      class: status === null ? "" : good ? "good nums" : "bad nums",
      onclick: () => { store.attempt = index; draw(); },
      onkeydown: (event) => {
        const to = { ArrowRight: index + 1, ArrowLeft: index - 1 }[event.key];
        if (to !== undefined && exchanges[to]) { event.preventDefault(); store.attempt = to; draw(); $("detail").querySelector(`[data-key="attempt${to}"]`).focus(); }
      },
    }, `${index + 1} `, el("b", { text: `${status === null ? "" : good ? "✓ " : "✕ "}${word}` }), when));
  });
  if (exchanges.length < 2) return el("div", { class: "tabs" }, box);
  const select = el("select", { "data-key": "other", onchange: (event) => { store.other = event.target.value === "" ? null : Number(event.target.value); draw(); } },
    el("option", { value: "", text: "none" }), exchanges.map((_, index) => index === at ? null : el("option", { value: String(index), text: `attempt ${index + 1}` })));
  select.value = other === null ? "" : String(other);
  return el("div", { class: "tabs" }, box, el("label", { class: "compare-with" }, "Compare with ", select));
}

/* ---- Cards ---- */
function card(title, ...content) {
  return el("section", { class: "card" }, el("header", {}, el("h3", { text: title })), el("div", { class: "body" }, content));
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
    const props = signed && name.toLowerCase() === signed.toLowerCase() ? { class: "signed" } : {};
    list.append(el("dt", { ...props, text: visible(name) }), el("dd", { ...props, text: visible(value) }));
  }
  return list;
}
function signatureText({ header, over, prefix, bytes }) {
  if (!header) return "It carries no signature header.";
  if (over === "data") return `Signs the timestamp and the text of data, the ${bytes.toLocaleString("en")} bytes marked below. Of what stands outside, only channel_id and callback_url are used.`;
  if (prefix) return `Signs the timestamp and the whole body, ${bytes.toLocaleString("en")} bytes.`;
  return `Signs the whole body, ${bytes.toLocaleString("en")} bytes. The timestamp beside it is not covered.`;
}
function sent(exchange) {
  const title = store.detail.is_ours ? "The delivery, as sent" : "The delivery, as it came";
  if (!exchange) return card(title, el("p", { class: "soft", text: "It is on its way." }));
  const { signature } = exchange;
  const message = signature.prefix ? `"${signature.prefix}" + ${signature.over}` : signature.over;
  const box = el("input", { type: "checkbox", "data-key": "exact", onchange: (event) => { options.exact = event.target.checked; draw(); } });
  box.checked = options.exact;
  const made = card(title, headersList(exchange.headers, signature.header),
    el("div", { class: `explain${signature.right ? "" : " wrong"}` },
      signature.header ? el("code", { text: `${signature.header} = hex(HMAC-SHA256(secret, ${message}))` }) : null,
      signature.right ? signatureText(signature) : `✕ ${signature.header ? "Signed with a wrong secret. " : "Not signed. "}${signatureText(signature)}`),
    textBlock(exchange.body, "sent", signature.header ? signature : null));
  made.querySelector("header").append(el("label", {}, box, "exact text"));
  return made;
}
function answered(exchange) {
  const lines = exchange?.lines ?? [];
  const log = lines.length ? el("div", {}, el("p", { class: "note", text: "The function’s log" }), lines.map((line, index) => textBlock({ text: line, cut: false }, `log${index}`))) : null;
  if (!exchange?.answer) return card("Our answer", el("p", { class: "soft", text: "It is awaited, for up to 30 s." }), log);
  const { status, headers, body, reason } = exchange.answer, good = status >= 200 && status < 300;
  if (!status) return card("Our answer", el("p", { class: "status bad", text: "✕ None" }), el("p", { class: "soft", text: visible(reason) || "The connection was cut." }), log);
  return card("Our answer",
    el("p", { class: `status nums ${good ? "good" : "bad"}` }, `${good ? "✓" : "✕"} ${status} `, el("span", { class: "note", text: `after ${ms(exchange.answer.ms)}` })),
    headersList(headers.filter(([name]) => !name.toLowerCase().startsWith("x-vercel-internal"))), body.size ? textBlock(body, "answer") : null, log);
}
function rowCard() {
  const { columns, problem } = store.detail.row;
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
export const opened = new Map();
function callbacks() {
  const { callbacks: list, exchanges, is_ours: isOurs } = store.detail;
  if (!list.length) return card("The callback, as received", el("p", { class: "soft nums", id: "window", text: windowText() }));
  return card("The callback, as received", list.map((each, index) => {
    const word = each.answered ? `answered ${each.answered}` : each.taken ? "taken, but the answer was lost" : "left without an answer";
    const of = ` · attempt ${exchanges.filter((one) => one.began_at <= each.received_at).length}`;
    const open = opened.get(index) ?? index === list.length - 1;
    return el("details", { open },
      el("summary", { class: "nums", "data-key": `callback-${index}`, onclick: (event) => opened.set(index, !event.currentTarget.parentNode.open) },
        el("b", { class: each.taken ? "good" : "bad", text: `${each.taken ? "✓" : "✕"} ${word}` }), `${isOurs ? of : ""} · ${clock(each.received_at)} · ${each.in_window ? "in time" : "too late"}`),
      el("div", {}, each.problems.length ? el("p", { class: "error", text: `Not as documented: ${each.problems.join(", ")}` }) : null,
        headersList(each.headers.filter(([name]) => ["authorization", "content-type", "content-length", "host", "user-agent"].includes(name))),
        textBlock(each.body, `callback-body-${index}`)));
  }));
}
function windowText() {
  const { detail } = store;
  if (person(detail) === "shown") return "It went to ModelRiver itself, not to the stand-in.";
  if (person(detail) === "nobody") return "None: nobody waits for one.";
  return person(detail) === "waiting" ? `None yet. The person waits for another ${span(detail.window_ends_at - now())}.` : "None came, and none will come in time.";
}
