// footpath's tracker: what the user of a page does -> POST /api/submitlogs. Served without these comments.
//
// Promises: an action is kept in localStorage until the server has answered for it, and has an id, so it is stored
// once however often it is sent. Values that people type are never read. With Do Not Track or Global Privacy Control
// nothing is read, kept or sent. Leaves out cookies, query strings and anything that blocks the page.
function footpath(options) {
  'use strict';
  const nav = navigator, doc = document, loc = location;
  const quiet = { identify() {}, track() {}, flush() { return Promise.resolve(); } };
  if (nav.doNotTrack == '1' || nav.globalPrivacyControl) return quiet;

  const SEND_EVERY = 5e3, TOGETHER = 50, IDLE = 18e5, LONGEST_WAIT = 3e5;
  const MAX_BODY = 6e4; // bytes: browsers take 64 KiB from a page that goes away
  const MAX_KEPT = 1000; // actions that wait while the server is away; the oldest are given up beyond that
  const url = options.url + (options.key ? '?key=' + encodeURIComponent(options.key) : '');

  // Private windows and full disks refuse storage: then this page's memory must do.
  const read = (store, key) => { try { return window[store].getItem('footpath.' + key); } catch (_) { return null; } };
  const write = (store, key, value) => {
    try {
      if (value == null) window[store].removeItem('footpath.' + key);
      else window[store].setItem('footpath.' + key, value);
    } catch (_) { /* see above */ }
  };
  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const cut = (text, length) => Array.from(text || '').slice(0, length).join('');

  // Who: the identified user, else a random one of this browser. A session ends after 30 idle minutes, in all tabs.
  function anonymous() {
    const id = read('localStorage', 'anonymous') || 'anonymous-' + random();
    write('localStorage', 'anonymous', id);
    return id;
  }
  let user = options.user || read('localStorage', 'user') || anonymous();
  let session;
  function sessionId() {
    const now = Date.now(), kept = (read('localStorage', 'session') || session || '').split(' ');
    session = (kept[1] > now - IDLE ? kept[0] : random()) + ' ' + now;
    write('localStorage', 'session', session);
    return session.split(' ')[0];
  }

  // What waits: a list a tab, kept under the tab's name. What a tab left that is no more is taken over.
  let tab = read('sessionStorage', 'tab');
  if (!tab) write('sessionStorage', 'tab', (tab = random()));
  let waiting = [], attempt = 0, timer = 0, stopped = false;
  const inFlight = new Set();
  const keep = () =>
    write('localStorage', 'queue.' + tab, waiting.length ? JSON.stringify({ at: Date.now(), waiting }) : null);
  function adopt() {
    try {
      for (const key of Object.keys(localStorage)) {
        if (!key.startsWith('footpath.queue.')) continue;
        const left = JSON.parse(localStorage[key]), mine = key == 'footpath.queue.' + tab;
        if (!mine && left.at > Date.now() - 6e4) continue;
        waiting = left.waiting.concat(waiting);
        if (!mine) localStorage.removeItem(key);
      }
    } catch (_) { /* no storage, or another's text under our name */ }
  }

  function two(number) { return String(Math.floor(Math.abs(number))).padStart(2, '0'); }
  function now() {
    const time = new Date(), east = -time.getTimezoneOffset();
    return new Date(+time + east * 6e4).toISOString().slice(0, -1) + (east < 0 ? '-' : '+') + two(east / 60) + ':' + two(east % 60);
  }

  function track(type, properties) {
    waiting.push({ userId: user, sessionId: sessionId(), action: { time: now(), type, properties: properties || {}, id: random() } });
    if (waiting.length > MAX_KEPT) waiting.splice(0, waiting.length - MAX_KEPT);
    keep();
    if (waiting.length >= TOGETHER && !attempt) flush();
    plan(SEND_EVERY);
  }

  function plan(wait) {
    if (!timer && !stopped) timer = setTimeout(flush, wait);
  }

  // The oldest that fit into a request and are in none, as batches.
  function some() {
    const batches = [], chosen = [];
    let size = 2, last;
    for (const item of waiting) {
      if (inFlight.has(item)) continue;
      const { userId, sessionId, action } = item;
      size += new Blob([JSON.stringify(action)]).size + 600;
      if (chosen.length && size > MAX_BODY) break;
      if (!last || last.userId != userId || last.sessionId != sessionId) batches.push((last = { userId, sessionId, actions: [] }));
      last.actions.push(action);
      chosen.push(item);
    }
    return [JSON.stringify(batches), chosen];
  }

  // One request at a time, so that a page that goes away has what browsers allow it nearly whole.
  function flush() {
    clearTimeout(timer);
    timer = 0;
    return inFlight.size ? Promise.resolve() : send();
  }
  function send() {
    const [body, chosen] = some();
    if (!chosen.length || stopped) return Promise.resolve();
    keep();
    chosen.forEach((item) => inFlight.add(item));
    return fetch(url, { method: 'POST', body, keepalive: true, credentials: 'omit' }).then((answer) => {
      chosen.forEach((item) => inFlight.delete(item));
      if (answer.status == 429 || answer.status >= 500) return later(answer.headers.get('Retry-After') * 1e3);
      stopped = answer.status == 401 || answer.status == 403;
      if (answer.status != 200) console.error('footpath: actions were refused with status ' + answer.status);
      if (stopped) return undefined; // they stay, for a page with a key that is good
      waiting = waiting.filter((item) => !chosen.includes(item));
      attempt = 0;
      keep();
      if (waiting.length) plan(waiting.length >= TOGETHER ? 0 : SEND_EVERY);
      return answer.status == 200 && answer.json().then((told) => { if (told.rejected.length) console.warn('footpath: rejected', told.rejected); });
    }, () => {
      chosen.forEach((item) => inFlight.delete(item));
      later(0);
    });
  }
  function later(wait) {
    const pause = SEND_EVERY * 2 ** attempt++ * (0.5 + Math.random() / 2);
    plan(Math.max(wait, Math.min(pause, LONGEST_WAIT)));
  }

  // The page goes, or may: what waits is sent in a way that outlives it. It also stays in storage until it is
  // answered for, and its ids make sending it again harmless.
  function leave() {
    if ('keepalive' in Request.prototype) send();
    else if (waiting.length && !stopped) nav.sendBeacon(url, some()[0]);
    keep();
  }

  // Pages are named by path, and by hash where that is a route; where() is what a navigation goes between.
  const page = () => loc.pathname + (/^#[!/]/.test(loc.hash) ? loc.hash : '');
  const where = () => loc.pathname + loc.hash;
  let here, seen, isShown = false;
  function arrive(from) {
    here = where();
    seen = new WeakSet();
    isShown = false;
    if (from && from != here) track('NAVIGATE', { pageFrom: from, pageTo: here });
    write('sessionStorage', 'page', here);
    show();
  }
  function show() {
    if (isShown || doc.visibilityState != 'visible') return;
    isShown = true;
    const referrer = doc.referrer.split(/[?#]/)[0];
    track('VIEW', { viewedId: page(), page: page(), title: cut(doc.title, 80), referrer });
    look(doc);
  }
  function moved() {
    if (where() != here) arrive(here);
  }

  const watched = window.IntersectionObserver && new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || seen.has(target) || !isShown) continue;
      seen.add(target);
      track('VIEW', { viewedId: cut(target.dataset.footpathView, 256), page: page() });
    }
  }, { threshold: 0.5 });
  function look(root) {
    if (!watched || !root.querySelectorAll) return;
    const found = [...root.querySelectorAll('[data-footpath-view]')];
    if (root.matches && root.matches('[data-footpath-view]')) found.push(root);
    for (const element of found) {
      watched.unobserve(element); // so that what is in sight already is told of anew
      watched.observe(element);
    }
  }

  // Text of an element without what people type and without what is masked.
  function textOf(element) {
    const parts = [], walker = doc.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && parts.length < 50) {
      const parent = walker.currentNode.parentElement;
      const hidden = parent.closest('[data-footpath-mask],input,textarea,select,script,style,[contenteditable]:not([contenteditable=false])');
      parts.push(!hidden ? walker.currentNode.data : hidden.hasAttribute('data-footpath-mask') ? '***' : '');
    }
    return cut(parts.join(' ').replace(/\s+/g, ' ').trim(), 80);
  }
  function selector(element) {
    const path = [];
    for (let at = element; at && at.nodeType == 1 && path.length < 5; at = at.parentElement) {
      const name = at.localName, alike = at.parentElement ? [...at.parentElement.children].filter((child) => child.localName == name) : [];
      if (at.id) {
        path.unshift(name + '#' + CSS.escape(at.id));
        break;
      }
      path.unshift(alike.length > 1 ? `${name}:nth-of-type(${alike.indexOf(at) + 1})` : name);
    }
    return cut(path.join('>'), 256);
  }
  function clicked(event) {
    const hit = event.target;
    if (!hit || !hit.closest) return;
    const element = hit.closest('a,button,label,summary,[role=button],[data-footpath-view]') || hit;
    const root = doc.documentElement, box = hit.getBoundingClientRect();
    const byKey = !event.detail && !event.clientX && !event.clientY; // Enter and Space: the middle of what they press
    track('CLICK', {
      locationX: Math.round(byKey ? box.left + box.width / 2 + scrollX : event.pageX),
      locationY: Math.round(byKey ? box.top + box.height / 2 + scrollY : event.pageY),
      page: page(),
      viewportWidth: innerWidth,
      viewportHeight: innerHeight,
      pageWidth: Math.max(root.scrollWidth, innerWidth),
      pageHeight: Math.max(root.scrollHeight, innerHeight),
      element: selector(element),
      text: textOf(element),
    });
  }

  adopt();
  const left = waiting.length;
  addEventListener('click', clicked, true);
  addEventListener('popstate', moved);
  addEventListener('hashchange', moved);
  for (const name of ['pushState', 'replaceState']) {
    const original = history[name];
    history[name] = function () {
      const result = original.apply(this, arguments);
      moved();
      return result;
    };
  }
  addEventListener('pagehide', leave);
  addEventListener('pageshow', (event) => { if (event.persisted) arrive(read('sessionStorage', 'page')); });
  doc.addEventListener('visibilitychange', () => (doc.visibilityState == 'hidden' ? leave() : show()));
  addEventListener('online', () => { attempt = 0; flush(); });
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) if (isShown) look(node);
  }).observe(doc, { childList: true, subtree: true });

  // Where the user came from: this tab's last page, if it was a page of this site or they went back to one.
  const [entry] = performance.getEntriesByType('navigation'), from = doc.referrer.split(/[?#]/)[0];
  const inside = from.startsWith(loc.origin + '/');
  const back = entry && entry.type == 'back_forward';
  arrive((inside || back) && (read('sessionStorage', 'page') || (inside && from.slice(loc.origin.length))));
  if (left) flush();

  return {
    identify(id) {
      user = id ? cut(String(id), 256) : anonymous();
      write('localStorage', 'user', id ? user : null);
    },
    track,
    flush,
  };
}
