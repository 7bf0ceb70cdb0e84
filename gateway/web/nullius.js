// Nullius: what the pages need beyond HTML. Every page can be read without it: tabs are then sections one after another, steps are links, commands can be
// selected by hand.
import { drawerOpened, renewFrom, start } from "./live.js";
import { wire } from "./forms.js";

const $ = (s, e = document) => e.querySelector(s);
const $$ = (s, e = document) => [...e.querySelectorAll(s)];
const say = (text) => { const box = $("#say"); if (box) box.textContent = text; };

// Tabs: links to sections become a tab list. The chosen tab stays in the address; an address within a panel chooses its tab.
for (const list of $$(".tabs")) {
  const tabs = $$("a", list);
  const panel = (t) => $(t.hash);
  list.setAttribute("role", "tablist");
  const choose = (tab, write) => {
    for (const t of tabs) {
      const on = t === tab;
      t.setAttribute("aria-selected", String(on));
      t.tabIndex = on ? 0 : -1;
      panel(t).hidden = !on;
    }
    if (write) history.replaceState(null, "", tab.hash);
  };
  tabs.forEach((t, i) => {
    t.setAttribute("role", "tab");
    t.setAttribute("aria-controls", t.hash.slice(1));
    const p = panel(t);
    p.setAttribute("role", "tabpanel");
    p.setAttribute("aria-labelledby", t.id);
    p.tabIndex = 0;
    t.addEventListener("click", (e) => { e.preventDefault(); choose(t, true); });
    t.addEventListener("keydown", (e) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[e.key];
      if (to === undefined) return;
      e.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      choose(next, true);
      next.focus();
    });
  });
  const byAddress = (first) => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const tab = target && tabs.find((t) => panel(t).contains(target));
    if (tab || first) choose(tab || tabs[0], false);
    if (!tab || (first && panel(tab) === target)) return; // a whole panel needs no scrolling when the page opens
    target.scrollIntoView({ block: "center" });
    if (target !== panel(tab)) target.focus({ preventScroll: true });
  };
  byAddress(true);
  addEventListener("hashchange", () => byAddress(false));
}

// Copy the command of the page or of a button.
const copy = async (text) => {
  try { await navigator.clipboard.writeText(text); say("Command copied."); }
  catch { say("Copying was refused by the browser; select the command instead."); }
};
const pageCommand = () => $(".foot code")?.textContent ?? "";
for (const b of $$("[data-copy]")) b.addEventListener("click", () => copy(b.dataset.copy || pageCommand()));

// Drawer of a step: opens beside the list without leaving the page, and gives the focus back to its row.
const withoutStep = () => {
  const url = new URL(location.href);
  url.searchParams.delete("step");
  url.hash = "";
  return url.href;
};
const close = async () => {
  const name = $("#step-h")?.textContent;
  history.replaceState(null, "", withoutStep());
  await renewFrom(location.href);
  $$("a.row").find((r) => new URL(r.href).searchParams.get("step") === name)?.focus();
};
document.addEventListener("click", async (e) => {
  if (e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
  if (e.target.closest("[data-close]")) { e.preventDefault(); return close(); }
  const row = e.target.closest("a.row");
  if (!row || !$("#drawer")) return;
  e.preventDefault();
  if (!await renewFrom(row.href)) { location.href = row.href; return; }
  history.replaceState(null, "", row.href);
  drawerOpened();
});
if (location.hash === "#step") $("#step-h")?.focus();

wire(say);
start(say);

// Keys. Single letters can be switched off in the help, as WCAG 2.1.4 asks.
const help = $("#keys");
const box = $("#keys-on");
const stored = () => { try { return localStorage.getItem("keys") !== "off"; } catch { return true; } };
box.checked = stored();
box.addEventListener("change", () => { try { localStorage.setItem("keys", box.checked ? "on" : "off"); } catch { /* private window */ } });
$("[data-keys]").addEventListener("click", () => help.showModal());
const rows = () => $$("a.row, .t1, .trace tbody th a").filter((r) => r.offsetParent);
const move = (d) => {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  all[at < 0 ? (d > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + d))]?.focus();
};
let before = "";
addEventListener("keydown", (e) => {
  if (e.key === "Escape" && $("#step") && !help.open) return close();
  const field = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName);
  if (field || e.ctrlKey || e.metaKey || e.altKey || help.open || !box.checked) return;
  const go = before === "g" && { h: "/", s: "/#studies", a: "/approvals", n: "/nodes" }[e.key];
  before = e.key;
  if (go) location.href = go;
  else if (e.key === "?") help.showModal();
  else if (e.key === "j") move(1);
  else if (e.key === "k") move(-1);
  else if (e.key === "c") copy(pageCommand());
  else if (e.key === "/" && $("[data-filter]")) $("[data-filter]").focus();
  else return;
  e.preventDefault();
});
