// Forms that ask the API for a change. They are hidden without JavaScript: the command beside them does the same.

const $ = (s, e = document) => e.querySelector(s);
const $$ = (s, e = document) => [...e.querySelectorAll(s)];

const requestID = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

// pico turns dollars as typed into the API's unit without the rounding of fractions.
const pico = (text) => {
  const [whole, part = ""] = text.split(".");
  return BigInt(whole || "0") * 10n ** 12n + BigInt((part + "0".repeat(12)).slice(0, 12));
};

// edited gives what a person has changed of an idea; undefined: nothing.
const edited = (form) => {
  const box = $("[data-edit]", form);
  if (!box) return undefined;
  const out = {};
  for (const name of ["title", "hypothesis", "experiment"]) {
    const field = form.elements[name];
    if (field.value !== field.defaultValue && field.value.trim()) out[name] = field.value.trim();
  }
  const plan = form.elements.plan;
  if (plan.value !== plan.defaultValue) {
    const runs = plan.value.split("\n").filter((l) => l.trim()).map((l) => {
      const [name, change, ...expected] = l.split("|").map((p) => p.trim());
      return { name, change: change ?? "", expected: expected.join(" | ") };
    });
    if (runs.length) out.plannedRuns = runs;
  }
  return Object.keys(out).length ? out : undefined;
};

// askOf reads the request from a form; a string says what is missing.
const askOf = (form, by) => {
  const f = form.elements;
  if (!f.comment) return { requestId: requestID(), idea: { title: f.title.value.trim(), hypothesis: f.hypothesis.value.trim(), experiment: f.experiment.value.trim() } };
  const ask = { requestId: requestID(), comment: f.comment.value.trim() };
  if (by?.hasAttribute("data-needs-reason") && !ask.comment) { f.comment.focus(); return "Say why: a rejection is final, and kept with its reason."; }
  if (f.etag) ask.etag = f.etag.value;
  if (f.from?.value) ask.from = f.from.value;
  if (f.force?.checked) ask.force = true;
  if (f.dollars || f.tokens) {
    if (f.dollars && !/^\d*\.?\d*$/.test(f.dollars.value)) { f.dollars.focus(); return "The amount in dollars is no number."; }
    if (f.dollars && pico(f.dollars.value) > 0n) ask.addBudgetPicoDollars = String(pico(f.dollars.value));
    if (f.tokens && Number(f.tokens.value) > 0) ask.addBudgetTokens = String(Math.round(Number(f.tokens.value)));
    if (!ask.addBudgetPicoDollars && !ask.addBudgetTokens) { (f.dollars ?? f.tokens).focus(); return "Name an amount above 0."; }
  }
  const change = by?.hasAttribute("data-needs-reason") ? undefined : edited(form);
  if (change) ask.edited = change;
  return ask;
};

// reasonOf finds the reason code in the API's answer.
const reasonOf = (answer) => answer.details?.find((d) => d.reason)?.reason;

export const wire = (say) => document.addEventListener("submit", async (e) => {
  const form = e.target.closest("[data-act]");
  if (!form) return;
  e.preventDefault();
  const by = e.submitter;
  const failed = $("[data-failed]", form);
  const fail = (text) => { failed.textContent = text; failed.hidden = false; };
  failed.hidden = true;
  const ask = askOf(form, by);
  if (typeof ask === "string") { fail(ask); return; }
  const buttons = $$("button", form);
  for (const b of buttons) b.disabled = true;
  say("Asked: " + by.textContent);
  try {
    const answer = await fetch(by?.getAttribute("formaction") || form.getAttribute("action"), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(ask) });
    if (answer.ok) {
      location.reload();
      return;
    }
    const why = await answer.json().catch(() => ({}));
    fail([reasonOf(why), why.message || "the server answered " + answer.status].filter(Boolean).join(": ") + (reasonOf(why) === "ETAG_MISMATCH" ? ". Reload the page and look at what has changed." : ""));
  } catch { fail("The server cannot be reached; nothing was changed as far as this page knows."); }
  for (const b of buttons) b.disabled = false;
  by?.focus();
});
