/* The form: an AI result to start from, or a delivery to send again. */
import { $, ask, el, narrow } from "./words.js";

const NAMES = { structured: "Structured", chat: "Chat", text: "Text", openai: "OpenAI", anthropic: "Anthropic", gemini: "Gemini", chinese: "Chinese, emoji", hostile: "Hostile", large: "4 MB" };
const HAS_DATA = new Set(["nested", "bare", "completed"]);
let presets = {}, onSent = () => {};

export async function wireForm(sent) {
  onSent = sent;
  const told = await ask("/presets");
  presets = told.presets;
  $("presets").append(...Object.keys(presets).map((name) => el("label", {},
    el("input", { type: "radio", name: "preset", value: name, onchange: () => choose(name) }), el("span", { text: NAMES[name] ?? name }))));
  $("envelope").append(...told.envelopes.map((name) => el("option", { value: name, text: name })));
  const first = document.querySelector("[name=preset]");
  first.checked = true;
  choose(first.value);
  summarize();
}
function choose(name) {
  const text = presets[name];
  $("result").value = text ?? "Four million characters of text are made when you send this.";
  $("result").readOnly = text === null;
  if ($("envelope").value === "whole body") $("envelope").value = "documented";
  summarize();
  told("");
}
/* What is folded away is said in one line. */
function summarize() {
  const words = [`${$("envelope").value} envelope`, `signature ${$("scheme").selectedOptions[0].text}`];
  if ($("envelope").value === "whole body") words[0] = "the whole body, as typed";
  if ($("secret").value === "wrong") words.push("a wrong secret");
  if ($("channel").value) words.push("a channel that is given");
  if ($("url").value) words.push(`to ${$("url").value}`);
  $("options-line").textContent = words.join(", ");
  const whole = $("envelope").value === "whole body";
  $("result-label").textContent = whole ? "Whole body, as JSON" : "AI result, as JSON";
  $("event").disabled = $("channel").disabled = whole;
}
function told(text, bad = false) {
  $("said").textContent = text;
  $("said").className = bad ? "error" : "soft";
  $("result").setAttribute("aria-invalid", String(bad === "result"));
}
function fill(form) {
  const radio = document.querySelector(`[name=preset][value="${CSS.escape(form.preset)}"]`);
  for (const each of document.querySelectorAll("[name=preset]")) each.checked = form.ai_result === null && each === radio;
  if (form.ai_result === null) choose(form.preset);
  else { $("result").value = form.ai_result; $("result").readOnly = false; }
  for (const name of ["envelope", "event", "channel", "scheme", "secret", "url"]) $(name).value = form[name];
  $("times").value = "1"; $("same").value = "";
  summarize();
  $("compose").open = true;
  $("result").focus();
  $("result").setSelectionRange(0, 0);
  $("result").scrollTop = 0;
}
/* A delivery of the list, to be changed and sent again. Says what is wrong where it cannot be. */
export async function edit(number, isStored) {
  try {
    const form = await ask(`/deliveries/${number}/form`);
    fill(form);
    $("options").open = $("options").open || Boolean(form.channel);
    const known = isStored ? " Its channel has a row already: empty the channel to get another." : "";
    told(`Delivery ${number} is loaded: change it, and send.${known}`);
  } catch (error) { $("compose").open = true; told(error.message, "form"); }
}
async function load(file) {
  try {
    fill(await ask("/files", { text: await file.text() }));
    told("The file is loaded: change it, and send.");
  } catch (error) { told(error.message, "form"); }
}
async function submit(event) {
  event.preventDefault();
  const times = Number($("times").value);
  if (!(Number.isInteger(times) && times >= 1 && times <= 100)) { told("How often: a whole number from 1 to 100. Nothing was sent.", "times"); $("times").focus(); return; }
  try {
    const { numbers } = await ask("/deliveries", {
      ai_result: $("result").readOnly ? null : $("result").value, preset: new FormData($("form")).get("preset") ?? "",
      envelope: $("envelope").value, event: $("event").value, channel: $("channel").value.trim(),
      scheme: $("scheme").value, secret: $("secret").value, url: $("url").value.trim(), times, same: $("same").value === "same",
    });
    told(numbers.length === 1 ? `Sent as delivery ${numbers[0]}.` : `Sent as deliveries ${numbers[0]} to ${numbers.at(-1)}.`);
    onSent(numbers);
  } catch (error) {
    told(error.message, error.position === undefined ? "form" : "result");
    if (error.position !== undefined) { $("result").focus(); $("result").setSelectionRange(error.position, Math.min(error.position + 1, $("result").value.length)); }
  }
}
$("form").addEventListener("submit", submit);
$("result").addEventListener("input", () => told(""));
$("result").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit(); });
$("form").addEventListener("change", summarize);
$("scheme").addEventListener("change", () => {
  if ($("scheme").value === "timestamped" && $("envelope").value === "documented") $("envelope").value = "nested";
  if ($("scheme").value === "documented" && HAS_DATA.has($("envelope").value)) $("envelope").value = "documented";
});
$("load").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => { if ($("file").files[0]) load($("file").files[0]); $("file").value = ""; });
if (matchMedia("(min-width: 100rem)").matches) $("options").open = true;
if (narrow()) $("compose").open = false;
