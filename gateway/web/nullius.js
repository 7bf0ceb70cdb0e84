// Nullius: what the pages need beyond HTML and htmx. Every page works without it:
// tabs are then sections one after another, steps are links, commands can be selected by hand.
(() => {
  "use strict";
  const $ = (s, e = document) => e.querySelector(s);
  const $$ = (s, e = document) => [...e.querySelectorAll(s)];
  const say = (text) => { const box = $("#say"); if (box) box.textContent = text; };

  // Tabs: links to sections become a tab list. The chosen tab stays in the address.
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
    choose(tabs.find((t) => t.hash === location.hash) || tabs[0], false);
  }

  // Copy the command of the page or of a button.
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); say("Command copied."); }
    catch { say("Copying was refused by the browser; select the command instead."); }
  };
  const pageCommand = () => $(".foot code")?.textContent ?? "";
  for (const b of $$("[data-copy]")) b.addEventListener("click", () => copy(b.dataset.copy || pageCommand()));

  // Drawer of a step: a link opens it; closing it goes back to its row.
  const drawer = $("#step");
  const close = () => {
    drawer.hidden = true;
    const row = $(".row[aria-current]");
    row?.removeAttribute("aria-current");
    row?.focus();
  };
  if (drawer) {
    $("[data-close]", drawer)?.addEventListener("click", close);
    if (location.hash === "#step") $("h2", drawer).focus();
  }

  // Live: events of the page's own object renew the parts marked data-live, in place.
  const renew = async () => {
    const open = $$("details[open] > summary").map((s) => s.textContent);
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    reveal(fresh);
    for (const part of $$("[data-live]")) {
      if ($$("[data-act] input[name=comment]", part).some((i) => i.value)) continue; // half filled in
      const now = fresh.getElementById(part.id);
      if (now && now.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) part.replaceChildren(...now.childNodes);
    }
    for (const s of $$("details > summary")) if (open.includes(s.textContent)) s.parentElement.open = true;
  };
  const events = document.body.dataset.events;
  if (events) {
    const source = new EventSource(events);
    let timer = 0;
    const mark = (text, state) => {
      const live = $("#live");
      if (live) { live.textContent = text; live.className = "st " + state; }
    };
    source.onopen = () => mark("live", "running");
    source.onerror = () => mark(source.readyState === 2 ? "ended" : "lost, trying again", "pending");
    source.onmessage = (m) => {
      const told = JSON.parse(m.data);
      if (!told.event && !told.progress) return;
      if (told.event?.kind === "ended") { say("Ended: " + (told.event.state || "")); source.close(); mark("ended", "ok"); }
      clearTimeout(timer);
      timer = setTimeout(renew, 300);
    };
  }

  // Forms that ask the API for a change. They are hidden without JavaScript: the command beside them does the same.
  const reveal = (root) => { for (const f of $$("[data-shown]", root)) f.hidden = false; };
  reveal(document);
  document.addEventListener("submit", async (e) => {
    const form = e.target.closest("[data-act]");
    if (!form) return;
    e.preventDefault();
    const by = e.submitter;
    const failed = $("[data-failed]", form);
    const ask = { requestId: requestID(), comment: form.elements.comment.value };
    if (form.elements.etag) ask.etag = form.elements.etag.value;
    if (form.elements.dollars) ask.addBudgetPicoDollars = String(Math.round(Number(form.elements.dollars.value) * 100)) + "0000000000";
    failed.hidden = true;
    for (const b of $$("button", form)) b.disabled = true;
    try {
      const answer = await fetch(by?.getAttribute("formaction") || form.getAttribute("action"), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(ask) });
      if (answer.ok) { location.reload(); return; }
      const why = await answer.json().catch(() => ({}));
      failed.textContent = why.message || "The server answered " + answer.status + ".";
    } catch { failed.textContent = "The server cannot be reached; nothing was changed as far as this page knows."; }
    failed.hidden = false;
    for (const b of $$("button", form)) b.disabled = false;
    by?.focus();
  });
  const requestID = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

  // Reveal the edit part of a gate form.
  for (const b of $$("[data-reveal]")) {
    const part = document.getElementById(b.dataset.reveal);
    b.addEventListener("click", () => {
      part.hidden = !part.hidden;
      b.setAttribute("aria-expanded", String(!part.hidden));
      if (!part.hidden) $("input, textarea", part)?.focus();
    });
  }

  // Keys. Single letters can be switched off in the help, as WCAG 2.1.4 asks.
  const help = $("#keys");
  const box = $("#keys-on");
  const stored = () => { try { return localStorage.getItem("keys") !== "off"; } catch { return true; } };
  if (box) {
    box.checked = stored();
    box.addEventListener("change", () => { try { localStorage.setItem("keys", box.checked ? "on" : "off"); } catch { /* private window */ } });
  }
  $("[data-keys]")?.addEventListener("click", () => help.showModal());
  const rows = () => $$("a.row, .t1, .trace tbody th a").filter((r) => r.offsetParent);
  const move = (d) => {
    const all = rows();
    const at = all.indexOf(document.activeElement);
    all[at < 0 ? (d > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + d))]?.focus();
  };
  let before = "";
  addEventListener("keydown", (e) => {
    if (e.key === "Escape" && drawer && !drawer.hidden && !help?.open) return close();
    const field = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName);
    if (field || e.ctrlKey || e.metaKey || e.altKey || help?.open || !(box?.checked ?? true)) return;
    const go = before === "g" && { h: "/", s: "/", a: "/#waiting", n: "/#parts" }[e.key];
    before = e.key;
    if (go) location.href = go;
    else if (e.key === "?") help?.showModal();
    else if (e.key === "j") move(1);
    else if (e.key === "k") move(-1);
    else if (e.key === "c") copy(pageCommand());
    else if (e.key === "/" && $("[data-filter]")) $("[data-filter]").focus();
    else return;
    e.preventDefault();
  });
})();
