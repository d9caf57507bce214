"use strict";
// Sorting and searching of the data tables. The report is complete without this script.
(() => {
  const collator = new Intl.Collator("en", { numeric: true });
  const buttons = new Map(); // of the head cells

  function compare(index, sign) {
    return (a, b) => {
      const x = a.cells[index], y = b.cells[index];
      const p = x.dataset.v, q = y.dataset.v;
      if (p !== undefined || q !== undefined) {
        // What was not measured stays at the end, whichever way one sorts.
        if (p === undefined) return 1;
        if (q === undefined) return -1;
        return sign * (Number(p) - Number(q));
      }
      return sign * collator.compare(x.textContent, y.textContent);
    };
  }

  function sortable(table) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      buttons.set(head, button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("n");
        const before = head.getAttribute("aria-sort");
        const down = before === null ? numeric : before === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        body.append(...[...body.rows].sort(compare(index, down ? -1 : 1)));
      });
    });
  }

  function searchable(table) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 8) return;
    const box = document.createElement("input");
    const said = document.createElement("output");
    const bar = document.createElement("p");
    bar.className = "search";
    box.type = "search";
    box.placeholder = "search";
    box.setAttribute("aria-label", "Search " + table.getAttribute("aria-label"));
    bar.append(box, said);
    table.parentElement.before(bar);
    let texts = null, timer = 0;
    function find() {
      texts = texts || rows.map((row) => row.textContent.toLowerCase());
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, index) => {
        row.hidden = !words.every((word) => texts[index].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      said.textContent = words.length ? shown + " of " + rows.length : "";
    }
    box.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(find, rows.length > 2000 ? 200 : 0);
    });
  }

  function opened() {
    let place = document.getElementById(location.hash.slice(1));
    for (; place; place = place.parentElement) {
      if (place.tagName === "DETAILS") place.open = true;
    }
  }

  for (const table of document.querySelectorAll("table.data")) {
    sortable(table);
    searchable(table);
  }
  addEventListener("hashchange", opened);
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details.chart")) part.open = true;
    // A head with buttons in it is not repeated on every page.
    for (const [head, button] of buttons) head.textContent = button.textContent;
  });
  addEventListener("afterprint", () => {
    for (const [head, button] of buttons) head.replaceChildren(button);
  });
  opened();
})();
