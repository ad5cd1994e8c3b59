"use strict";
(() => {
  // "57.0±10.0" sorts as 57, "2/3" as 2, "1.50k" as 1500; words and dashes come last, whichever way the numbers go.
  const numberOf = (row, column) => {
    const found = row.cells[column].textContent.trim().match(/^\[?(-?\d+(?:\.\d+)?)([kMGT]?)/);
    return found ? parseFloat(found[1]) * 1000 ** " kMGT".indexOf(found[2] || " ") : NaN;
  };
  const compare = (column, sign) => (one, other) => {
    if (column > 0) {
      const a = numberOf(one, column), b = numberOf(other, column);
      if (!isNaN(a) || !isNaN(b)) return isNaN(a) ? 1 : isNaN(b) ? -1 : sign * (a - b);
    }
    const a = one.cells[column].textContent, b = other.cells[column].textContent;
    return sign * (a < b ? -1 : a > b ? 1 : 0);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    headings.forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const next = now ? (now === "ascending" ? "descending" : "ascending") : column ? "descending" : "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", next);
      body.append(...[...body.rows].sort(compare(column, next === "ascending" ? 1 : -1)));
    }));
  }

  const filter = document.getElementById("filter"), matches = document.getElementById("matches");
  const items = [...document.querySelectorAll("table.sortable tbody tr, details.run")];
  const texts = items.map((item) => (item.querySelector("summary") || item).textContent.toLowerCase());
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    items.forEach((item, i) => {
      item.hidden = !words.every((word) => texts[i].includes(word));
      if (!item.hidden && item.tagName === "TR") shown += 1;
    });
    const rows = items.filter((item) => item.tagName === "TR").length;
    matches.textContent = words.length ? `${shown} of ${rows} rows` : "";
  };
  filter.addEventListener("input", apply);
  apply();

  const theme = document.getElementById("theme"), root = document.documentElement;
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => { theme.textContent = `Switch to ${dark ? "light" : "dark"}`; };
  theme.addEventListener("click", () => {
    dark = !dark;
    root.dataset.theme = dark ? "dark" : "light";
    label();
  });
  label();

  // What is wider than its box says so: an edge that fades, and words below.
  const boxes = [...document.querySelectorAll(".scroll")];
  const mark = (box) => {
    const rest = box.scrollWidth - box.clientWidth;
    box.dataset.more = [box.scrollLeft > 1 && "left", box.scrollLeft < rest - 1 && "right"].filter(Boolean).join(" ");
    box.nextElementSibling.hidden = rest < 2;
  };
  const watch = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  for (const box of boxes) {
    box.addEventListener("scroll", () => mark(box), { passive: true });
    watch.observe(box);
  }
})();
