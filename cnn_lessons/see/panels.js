// What the page does for all panels by itself, also while the kernel is busy or gone.
// The first panel of a page brings it.
if (!window.cnnPanels) {
  window.cnnPanels = true;
  const panelOf = event => event.target.closest?.('.cnn-panel');

  // Keys in a panel are the panel's: JupyterLab and Notebook would go to another cell with the
  // arrows, and delete a cell with two letters. Ctrl + S, Shift + Enter and the like stay theirs.
  window.addEventListener('keydown', event => {
    const theirs = event.ctrlKey || event.metaKey || (event.shiftKey && event.key === 'Enter');
    if (panelOf(event)) event.target.toggleAttribute('data-lm-suppress-shortcuts', !theirs);
  }, true);

  // A click on a map writes its row and column into the fields of these names, or the number of
  // the square into the field that the map names.
  window.addEventListener('click', event => {
    const map = event.target.closest?.('.cnn-panel [data-rows]');
    if (!map) return;
    const box = map.getBoundingClientRect(), fields = [...panelOf(event).querySelectorAll('.cnn-field')];
    const place = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    const row = place((event.clientY - box.top) / box.height, map.dataset.rows);
    const column = place((event.clientX - box.left) / box.width, map.dataset.columns);
    const write = (name, number) => {
      const input = fields.find(field => field.textContent.trim() === name).querySelector('input');
      input.value = number;
      input.dispatchEvent(new Event('change', {bubbles: true}));
    };
    if (map.dataset.field) return write(map.dataset.field, row * map.dataset.columns + column);
    write('Row', row);
    write('Column', column);
  });

  // A panel waits while its picture was made for other values than its fields have, or while a
  // button has no answer. A number that is still being typed is not meant yet.
  let typed = null;
  window.addEventListener('input', event => { typed = event.target; }, true);
  window.addEventListener('change', () => { typed = null; }, true);
  window.addEventListener('focusout', () => { typed = null; }, true);
  window.addEventListener('click', event => {
    if (event.target.closest?.('.widget-button')) panelOf(event)?.setAttribute('data-asked', Date.now());
  }, true);
  const state = panel => [...panel.querySelectorAll('.cnn-field select, .cnn-field input')]
    .map(field => field.type === 'checkbox' ? +field.checked : field.selectedIndex ?? +field.value)
    .join(' ');
  // What ipywidgets leaves without a name: a slider is called after the field before it.
  const name = panel => {
    for (const handle of panel.querySelectorAll('[role=slider]:not([aria-label])')) {
      const before = [...panel.querySelectorAll('.cnn-field')]
        .filter(field => field.compareDocumentPosition(handle) & Node.DOCUMENT_POSITION_FOLLOWING);
      handle.setAttribute('aria-label', `${before.pop()?.textContent.trim() ?? ''} slider`);
    }
  };
  const words = {
    waits: 'Computing … What stands below is older. If this stays, the kernel is busy or gone.',
    gone: 'The kernel is gone: it died or was restarted. Run the cells again, from the top.',
  };
  setInterval(() => {
    const now = Date.now();
    for (const panel of document.querySelectorAll('.cnn-panel')) {
      name(panel);
      const shown = panel.querySelector('[data-state]');
      if (shown !== panel.cnnShown) panel.removeAttribute('data-asked');
      panel.cnnShown = shown;
      if (!shown || shown.dataset.state === state(panel)) panel.cnnAgreed = now;
      const since = Math.min(panel.dataset.asked ?? now, panel.cnnAgreed ?? now);
      const waits = now - since > 300 && !panel.contains(typed);
      const gone = panel.classList.contains('jupyter-widgets-disconnected');
      const sign = panel.querySelector('.cnn-sign'), said = words[gone ? 'gone' : waits && 'waits'] ?? '';
      panel.classList.toggle('cnn-waits', gone || waits);
      if (sign.textContent !== said) sign.textContent = said;
    }
  }, 100);
}
