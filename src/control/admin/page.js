// Fetches the changing part of the page every two seconds, unless nobody looks or text is selected.
"use strict";
(() => {
  const main = document.querySelector("main");
  const lost = document.getElementById("lost");

  function replace(content) {
    const scrolled = [...main.querySelectorAll(".table")].map((table) => table.scrollLeft);
    main.innerHTML = content;
    main.querySelectorAll(".table").forEach((table, i) => { table.scrollLeft = scrolled[i] || 0; });
  }

  async function refresh() {
    if (document.hidden || !getSelection().isCollapsed) return;
    try {
      const answer = await fetch("/?fragment=1", { signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.status);
      replace(await answer.text());
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }

  async function loop() {
    await refresh();
    setTimeout(loop, 2000);
  }

  document.addEventListener("visibilitychange", refresh);
  setTimeout(loop, 2000);
})();
