// Dark or light: what the reader chose, else what the system says. A classic script, so that it has
// run before anything is drawn. `data-theme` on the root element tells style.css; an event `theme`
// on the window says that the choice, kept under "ringchat.theme", is another.
// Tested by tests/web/look.test.mjs.

(() => {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    let chosen = null;
    try {
      chosen = JSON.parse(localStorage.getItem('ringchat.theme'));
    } catch {
      // Nothing is kept here: the system decides.
    }
    const dark = chosen === 'dark' || (chosen !== 'light' && system.matches);
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
    const paper = document.querySelector('meta[name="theme-color"]');
    paper.content = dark ? '#101517' : '#f5f4f0';
  };
  apply();
  system.addEventListener('change', apply);
  addEventListener('theme', apply);
  addEventListener('storage', apply);
})();
