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
    const spec = JSON.parse(element.dataset.chart);
    const colour = spec.encoding.color;
    if (dark && colour.scale.scheme) colour.scale.reverse = true; // much is far from the paper's own shade
    const options = { ast: true, actions: false, defaultStyle: false, renderer: 'canvas', tooltip: { disableDefaultStyle: true }, config };
    window.vegaEmbed(element, spec, options).then(
      ({ view }) => {
        element.dataset.drawn = '';
        if ('brush' in element.dataset) brush(element, view, spec.encoding.x.scale.domain.map(Date.parse));
      },
      (error) => { element.textContent = 'The chart could not be drawn: ' + error.message; },
    );
  }

  // A range of the histogram, dragged over it or chosen with two sliders, goes into the form and is searched for.
  function brush(element, view, [from, to]) {
    const form = document.getElementById('filters');
    const said = (time) => new Date(Math.min(time, to)).toISOString().slice(0, 19) + 'Z';
    const search = (first, last) => {
      form.elements.fromTime.value = said(first);
      form.elements.toTime.value = said(last);
      form.requestSubmit();
    };

    let range = null;
    view.addSignalListener('brush', (_, value) => { range = Object.values(value)[0] || null; });
    element.addEventListener('pointerdown', () => {
      addEventListener('pointerup', () => setTimeout(() => {
        if (range && range.length > 1) search(Math.min(...range), Math.max(...range));
      }, 250), { once: true });
    });

    const width = Number(element.dataset.brush) * 1000;
    const [first, last] = ['first', 'last'].map((name) => document.getElementById('brush-' + name));
    const chosen = document.getElementById('brush-chosen');
    const times = () => [from + first.value * width, from + last.value * width];
    const show = () => {
      const [one, two] = times();
      for (const [slider, time] of [[first, one], [last, two]]) slider.setAttribute('aria-valuetext', said(time).replace('T', ' ').replace('Z', ' UTC'));
      chosen.textContent = `${first.getAttribute('aria-valuetext')} to ${last.getAttribute('aria-valuetext')}`;
      const scale = view.scale('x');
      view.signal('brush_x', [scale(one), scale(Math.min(two, to))]).run();
    };
    first.max = last.max = Math.ceil((to - from) / width);
    first.value = 0;
    last.value = last.max;
    for (const slider of [first, last]) {
      slider.addEventListener('input', () => {
        const other = slider === first ? last : first;
        if (Number(first.value) >= Number(last.value)) {
          if (slider === first) other.value = Number(slider.value) + 1;
          else other.value = Number(slider.value) - 1;
        }
        show();
      });
      slider.addEventListener('keydown', (event) => { if (event.key === 'Enter') search(...times()); });
    }
    document.getElementById('brush-search').addEventListener('click', () => search(...times()));
    document.getElementById('brush').hidden = false;
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
    const time = row.insertCell().appendChild(document.createElement('time'));
    time.textContent = action.when;
    time.dateTime = time.title = action.time;
    link(row.insertCell(), action.userId, '');
    link(row.insertCell(), action.userId, action.sessionId);
    const type = row.insertCell().appendChild(document.createElement('span'));
    type.className = 'type ' + action.type;
    type.textContent = action.type;
    const said = row.insertCell();
    said.textContent = action.said;
    if (action.more) {
      const more = document.createElement('code');
      more.className = 'more';
      more.textContent = action.more;
      said.append(' ', more);
    }
    while (table.rows.length > MOST) table.deleteRow(-1);
  }
  function link(cell, user, session) {
    const anchor = cell.appendChild(document.createElement('a'));
    anchor.textContent = session || user;
    anchor.href = '/ui/users/' + encodeURIComponent(user) + (session ? '?session=' + encodeURIComponent(session) : '');
  }
})();
