/* Copy buttons, the width of figures, and the law chooser. */
"use strict";

for (const block of document.querySelectorAll("div.highlight")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const text = block.querySelector("pre").innerText.replace(/\n$/, "");
    const prompted = /^>>> /m.test(text);
    const code = prompted ? text.split("\n").filter(l => /^(>>>|\.\.\.)/.test(l)).map(l => l.slice(4)).join("\n") : text;
    await navigator.clipboard.writeText(code);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.append(button);
}

/* What scrolls sideways can be reached, and scrolled, by keys. */
const reachable = new ResizeObserver(entries => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0; else target.removeAttribute("tabindex");
  }
});
for (const region of document.querySelectorAll("div.math, .wide, .text_html")) reachable.observe(region);

/* The search button is called what it shows; the empty corner of a table is no heading. */
document.querySelector(".search-button-field")?.removeAttribute("aria-label");
for (const corner of document.querySelectorAll("th:empty")) corner.replaceWith(document.createElement("td"));

/* Figures are drawn at 150 dots an inch: letters as large as the page's, and never smaller than 11 px. */
for (const image of document.querySelectorAll("article img[src$='.png']")) {
  const size = () => {
    const inches = image.naturalWidth / 150;
    image.style.maxWidth = `${105 * inches}px`;
    image.style.minWidth = `${72 * inches}px`;
    const region = image.closest("p, .cell_output") || image;
    region.classList.add("wide");
    reachable.observe(region);
  };
  if (image.complete) size(); else image.addEventListener("load", size);
}

const chooser = document.querySelector("form.chooser");
if (chooser) {
  const rows = [...document.querySelectorAll("table.laws tbody tr")];
  const narrow = () => {
    const asked = Object.fromEntries(new FormData(chooser));
    let shown = 0;
    for (const row of rows) {
      const fits = Object.entries(asked).every(([name, value]) => !value || row.dataset[name].split(" ").includes(value));
      row.hidden = !fits;
      shown += fits;
    }
    chooser.querySelector("output").textContent = shown === 1 ? "1 law" : `${shown} laws`;
    history.replaceState(null, "", `#${new URLSearchParams(Object.entries(asked).filter(([, value]) => value))}`);
  };
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (chooser.elements[name]) chooser.elements[name].value = value;
  }
  chooser.addEventListener("change", narrow);
  narrow();
}
