// Live pages: events renew the parts marked data-live in place. Order, focus, scroll, open details and half-filled forms stay.

const $ = (s, e = document) => e.querySelector(s);
const $$ = (s, e = document) => [...e.querySelectorAll(s)];

// kept names the attributes that belong to the browser or to scripts, not to the server.
const kept = (e) => {
  if (e.matches("details")) return ["open", "hidden"];
  if (e.matches("[data-shown]")) return ["hidden"];
  if (e.matches(".tabs, .tabs a, [role=tabpanel]")) return ["hidden", "role", "tabindex", "aria-selected", "aria-controls", "aria-labelledby"];
  if (e.matches("button")) return ["disabled"];
  if (e.matches("[data-failed]")) return ["hidden"];
  return [];
};

const keyOf = (n) => n.nodeType === 1 ? n.id || n.getAttribute("data-k") : null;
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

// dirty tells whether a person has begun to fill a field of a form.
const dirty = (form) => [...form.elements].some((f) => f.type === "checkbox" ? f.checked !== f.defaultChecked : f.tagName === "SELECT" ? f.selectedIndex > 0 : f.type !== "hidden" && f.defaultValue !== undefined && f.value !== f.defaultValue);

// morph makes an element equal to a fresh one by as few changes as that takes.
export const morph = (old, fresh) => {
  if (old.matches("noscript, pre[data-log]") && old.getAttribute("data-step") === fresh.getAttribute("data-step")) return; // a log is renewed by itself
  const skip = kept(old);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !skip.includes(name)) old.removeAttribute(name);
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value && !skip.includes(name)) old.setAttribute(name, value);
  if (old.matches("form[data-act]") && dirty(old) || old.matches("[data-failed]")) {
    const etag = old.elements?.etag, next = fresh.elements?.etag;
    if (etag && next) etag.value = next.value;
    return;
  }
  const left = new Map();
  for (const c of old.childNodes) if (keyOf(c)) left.set(keyOf(c), c);
  let at = old.firstChild;
  for (const want of [...fresh.childNodes]) {
    const key = keyOf(want);
    let have = key ? left.get(key) : at;
    while (!key && have && keyOf(have)) have = have.nextSibling; // keyed ones have their own turn
    if (have && alike(have, want)) {
      left.delete(key);
      if (have !== at) old.insertBefore(have, at); else at = at.nextSibling;
      if (have.nodeType === 1) morph(have, want); else if (have.data !== want.data) have.data = want.data;
    } else old.insertBefore(document.importNode(want, true), at);
  }
  while (at) {
    const next = at.nextSibling;
    drop(at);
    at = next;
  }
};

// drop takes away what the server no longer shows; a form that a person is filling in stays to be copied from, and says why it can no longer be sent.
const drop = (node) => {
  const form = node.nodeType === 1 && (node.matches("form[data-act]") ? node : $("form[data-act]", node));
  if (!form || !dirty(form)) { node.remove(); return; }
  for (const b of $$("button", form)) b.disabled = true;
  const why = $("[data-failed]", form);
  why.textContent = "The state has changed meanwhile, and this can no longer be asked. Your words are kept here; reload the page to be rid of the form.";
  why.hidden = false;
};

const reveal = () => { for (const f of $$("[data-shown]")) f.hidden = false; };

// renewFrom reads an address again and renews the live parts from it; it reports whether that worked.
export const renewFrom = async (address) => {
  let fresh;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok) return false;
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch { return false; }
  const top = $$("pre, .scroll").map((e) => [e, e.scrollTop, e.scrollLeft]);
  for (const part of $$("[data-live]")) {
    const now = fresh.getElementById(part.id);
    if (now) morph(part, now);
  }
  for (const [e, y, x] of top) if (e.isConnected) { e.scrollTop = y; e.scrollLeft = x; }
  reveal();
  tick();
  stream = fresh.body.dataset.events || "";
  return true;
};

export const drawerOpened = () => {
  const head = $("#step-h");
  if (!head) return;
  head.focus({ preventScroll: true });
  head.closest(".drawer").scrollIntoView({ block: "nearest" });
};

// Ages count on between renewals. The twin of ageText in pages_format.go.
const ageText = (s) => {
  s = Math.max(0, Math.floor(s));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 48 * 3600) return Math.floor(s / 3600) + " h " + String(Math.floor(s / 60) % 60).padStart(2, "0") + " min";
  return Math.floor(s / 86400) + " days";
};
const tick = () => {
  for (const t of $$("time[data-age]")) {
    const text = ageText((Date.now() - Date.parse(t.dateTime)) / 1000);
    if (t.textContent !== text) t.textContent = text;
  }
};

// Logs: the server keeps the end of what a running step has printed; lines that come only say that it is to be read again.
let logTimer = 0;
const renewLog = async () => {
  const pre = $("pre[data-log]");
  if (!pre) return;
  try {
    const answer = await fetch(pre.dataset.log);
    if (!answer.ok || answer.headers.get("X-Step") !== pre.dataset.step) return;
    const text = await answer.text();
    if (text === pre.textContent) return;
    const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 24;
    pre.textContent = text;
    if (atEnd) pre.scrollTop = pre.scrollHeight;
    const note = $("[data-log-note]");
    if (note) note.textContent = "The end of what it has printed so far.";
  } catch { /* the head says that the connection is lost */ }
};
const logSoon = () => { logTimer ||= setTimeout(() => { logTimer = 0; renewLog(); }, 500); };

let stream = document.body.dataset.events || ""; // empty: the page's object has ended
let source = null;
let lastEvent = 0; // of any message, heartbeats too
let lastTold = 0;
let lastSaid = 0;
let say = () => {};

const clock = (ms) => new Date(ms).toTimeString().slice(0, 8);

const mark = (text, state) => {
  const live = $("#live");
  if (live && (live.textContent !== text || live.className !== "st " + state)) { live.textContent = text; live.className = "st " + state; }
};

// Renewals come at most once a second, for mere progress every two, and wait while the page is hidden.
let timer = 0;
let again = false;
const renewSoon = (pause = 150) => {
  if (document.hidden || timer) { again = true; return; }
  again = false;
  timer = setTimeout(async () => {
    await renewFrom(location.href);
    if (!stream) end();
    timer = setTimeout(() => { timer = 0; if (again) renewSoon(); }, 700);
  }, pause);
};

const end = () => {
  source?.close();
  source = null;
  mark("ended", "ok");
};

// tell says a change of the page's own object, at most once in ten seconds.
const tell = (event) => {
  if (event.idea !== document.body.dataset.own || !["ended", "waiting", "resumed", "approved", "rejected", "retry-requested", "cancel-requested"].includes(event.kind)) return;
  if (event.kind !== "ended" && Date.now() - lastSaid < 10_000) return;
  lastSaid = Date.now();
  say(event.kind === "ended" ? "Ended: " + (event.state || "") : event.kind.replaceAll("-", " ") + (event.text ? ": " + event.text : ""));
};

const connect = () => {
  if (!stream) return;
  source = new EventSource(stream);
  let wasLost = false;
  source.onopen = () => {
    mark("live", "running");
    lastEvent = Date.now();
    if (wasLost) renewSoon();
    wasLost = false;
  };
  source.onerror = () => {
    wasLost = true;
    mark("lost since " + clock(Date.now()), "pending");
    if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again, with the last token
    source.close();
    source = null;
    setTimeout(async () => { // the token is too old, or the server refused: begin again from a snapshot
      const before = stream;
      if (!await renewFrom(location.href)) { stream = before; setTimeout(connect, 10_000); return; }
      if (!stream) { end(); return; }
      mark("loaded anew", "running");
      connect();
    }, 3000);
  };
  source.onmessage = (m) => {
    lastEvent = Date.now();
    const told = JSON.parse(m.data);
    if (told.log) { logSoon(); return; }
    if (told.event) tell(told.event);
    if (told.event || told.progress) lastTold = Date.now();
    if (told.event) renewSoon(); else if (told.progress) renewSoon(2000);
  };
};

export const start = (speak) => {
  say = speak;
  reveal();
  setInterval(() => {
    tick();
    if (source?.readyState !== EventSource.OPEN) return;
    if (Date.now() - lastEvent > 45_000) mark("nothing heard since " + clock(lastEvent), "pending"); // a heartbeat comes every 15 s
    else if (lastTold) mark("live, last event " + ageText((Date.now() - lastTold) / 1000) + " ago", "running");
  }, 1000);
  const pre = $("pre[data-log]");
  if (pre) pre.scrollTop = pre.scrollHeight;
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) renewSoon(); });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (e) => { if (e.persisted && stream) { connect(); renewSoon(); } });
  const poll = Number(document.body.dataset.poll);
  if (poll) setInterval(renewSoon, poll * 1000);
  connect();
};
