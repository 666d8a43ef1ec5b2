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

/* Figures are drawn at 150 dots an inch: letters as large as the page's, and never smaller than 11 px. */
for (const image of document.querySelectorAll("article img[src$='.png']")) {
  const size = () => {
    const inches = image.naturalWidth / 150;
    image.style.maxWidth = `${105 * inches}px`;
    image.style.minWidth = `${72 * inches}px`;
    (image.closest("p, .cell_output") || image).classList.add("wide");
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
