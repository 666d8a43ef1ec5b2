/* What stands in the way of readers who see little, read a page aloud, or use the keyboard: small or pale letters, headings
that skip a level, images, links and fields without words, and what scrolls sideways but not by keys. */
(() => {
  const found = [], seen = e => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const called = e => e.getAttribute("aria-label") || e.innerText.trim() || e.title || e.querySelector("img[alt]")?.alt;
  const what = e => `${e.tagName.toLowerCase()} ${(e.innerText || e.className || "").toString().trim().slice(0, 40)}`;

  const parts = c => (c.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const rgba = c => {
    const [r, g, b, a = 1] = parts(c);
    return c.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [a * r + (1 - a) * R, a * g + (1 - a) * G, a * b + (1 - a) * B, 1];
  const ground = e => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    const scheme = getComputedStyle(document.documentElement).colorScheme;
    const dark = scheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches;
    return layers.reverse().reduce((below, layer) => over(layer, below), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const light = c => {
    const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const box = e.getBoundingClientRect();
    if (!texts.currentNode.textContent.trim() || !seen(e) || box.width < 2) continue;
    if (e.closest("svg, script, style, :disabled")) continue;
    if (size < 11) found.push(`letters of ${size} px: ${what(e)}`);
    const paper = ground(e), ink = light(over(rgba(style.color), paper)), page = light(paper);
    const ratio = (Math.max(ink, page) + .05) / (Math.min(ink, page) + .05);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast of ${ratio.toFixed(2)}: ${what(e)}`);
  }

  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (!seen(h)) continue;
    if (+h.tagName[1] > level + 1) found.push(`heading ${h.tagName} after H${level}: ${what(h)}`);
    level = +h.tagName[1];
  }
  if (document.querySelectorAll("main, [role=main]").length !== 1) found.push("not one main part");
  if (!document.documentElement.lang) found.push("no language");
  for (const i of document.images) {
    if (i.alt.length < 20 || /\.(png|svg)|_files|^image/i.test(i.alt)) found.push(`alt of an image: ${i.alt}`);
  }
  for (const e of document.querySelectorAll("a[href], button, summary")) {
    if (seen(e) && !called(e)) found.push(`no name: ${e.outerHTML.slice(0, 90)}`);
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    const label = e.labels?.length || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby");
    if (seen(e) && !label) found.push(`no label: ${e.outerHTML.slice(0, 90)}`);
  }
  for (const e of document.querySelectorAll("main *, body > div *")) {
    if (e.scrollWidth <= e.clientWidth + 1 || e.clientWidth < 2 || e.tabIndex >= 0 || !seen(e)) continue;
    const inside = e.querySelector("a[href], button, [tabindex], input, select");
    if (/auto|scroll/.test(getComputedStyle(e).overflowX) && !inside) found.push(`keys do not scroll: ${what(e)}`);
  }
  return [...new Set(found)];
})()
