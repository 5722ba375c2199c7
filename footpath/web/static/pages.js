// What footpath's pages do beyond HTML: draw the charts, let a time be dragged out of one, and follow what comes in.
(() => {
  'use strict';

  // Charts: Vega without eval, as the policy of these pages wants it.
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const ink = getComputedStyle(document.body).color;
  const config = {
    axis: { labelColor: ink, titleColor: ink, gridColor: dark ? '#333a40' : '#e2e0d8', domainColor: ink, tickColor: ink },
    legend: { labelColor: ink, titleColor: ink },
    view: { stroke: null },
    font: 'system-ui, sans-serif',
  };
  for (const element of document.querySelectorAll('[data-chart]')) {
    const options = { ast: true, actions: false, defaultStyle: false, renderer: 'canvas', tooltip: { disableDefaultStyle: true }, config };
    window.vegaEmbed(element, JSON.parse(element.dataset.chart), options).then(
      ({ view }) => {
        element.dataset.drawn = '';
        if ('brush' in element.dataset) brush(view);
      },
      (error) => { element.textContent = 'The chart could not be drawn: ' + error.message; },
    );
  }

  // A range dragged over the histogram goes into the form, and is searched for.
  function brush(view) {
    let range = null;
    view.addSignalListener('brush', (_, value) => { range = Object.values(value)[0] || null; });
    addEventListener('pointerup', () => setTimeout(() => {
      if (!range || range.length < 2) return;
      const [first, last] = [Math.min(...range), Math.max(...range)];
      const form = document.getElementById('filters');
      form.elements.fromTime.value = new Date(first).toISOString().slice(0, 19) + 'Z';
      form.elements.toTime.value = new Date(last).toISOString().slice(0, 19) + 'Z';
      form.requestSubmit();
    }, 250));
  }

  // The live tail: newest on top, some hundred rows. EventSource comes back by itself where it was.
  const table = document.getElementById('tail');
  if (!table) return;
  const MOST = 500;
  const state = document.getElementById('state'), pause = document.getElementById('pause');
  let held = null, seen = 0;
  const source = new EventSource(table.dataset.events);
  const say = () => { state.textContent = held ? `Paused: ${held.length} more came` : `Following: ${seen} came since you opened this`; };
  source.onopen = say;
  source.onerror = () => { state.textContent = source.readyState === 2 ? 'The server does not let this page follow; load it again' : 'The connection broke; coming back…'; };
  source.addEventListener('action', (event) => {
    seen++;
    if (held) held.push(event.data);
    else add(event.data);
    say();
  });
  pause.hidden = false;
  pause.addEventListener('click', () => {
    const rows = held;
    held = held ? null : [];
    (rows || []).forEach(add);
    pause.setAttribute('aria-pressed', String(Boolean(held)));
    say();
  });

  function add(text) {
    const action = JSON.parse(text);
    const row = table.insertRow(0);
    row.insertCell().textContent = action.time.slice(0, 19).replace('T', ' ');
    link(row.insertCell(), action.userId, '');
    link(row.insertCell(), action.userId, action.sessionId);
    const type = row.insertCell().appendChild(document.createElement('span'));
    type.className = 'type ' + action.type.toLowerCase();
    type.textContent = action.type.toLowerCase();
    row.insertCell().textContent = said(action);
    while (table.rows.length > MOST) table.deleteRow(-1);
  }
  function link(cell, user, session) {
    const anchor = cell.appendChild(document.createElement('a'));
    anchor.textContent = session || user;
    anchor.href = '/ui/users/' + encodeURIComponent(user) + (session ? '?session=' + encodeURIComponent(session) : '');
  }
  function said({ type, properties }) {
    if (type === 'NAVIGATE') return `went ${properties.pageFrom} → ${properties.pageTo}`;
    if (type === 'VIEW' && properties.viewedId) return `viewed ${properties.viewedId}`;
    if (type === 'CLICK') return `clicked ${properties.text ? `“${properties.text}” ` : ''}${properties.page ? `on ${properties.page}` : ''}`;
    return JSON.stringify(properties);
  }
})();
