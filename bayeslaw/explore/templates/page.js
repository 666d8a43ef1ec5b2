// The answers beside the figure, and everything anew after a change.

function showHere(study) {
  const here = vector();
  const rows = evals.flatMap((one, e) => {
    if (state.hidden.has(e)) return [];
    const losses = study.inside(here, e) ? study.losses(here, e) : null;
    const own = losses && losses.every(Number.isFinite) ? summary(losses, prob) : null;
    const cells = own ? [rounded(own.mean, 4), `${rounded(own.lower, 4)} to ${rounded(own.upper, 4)}`] : ["–", "outside the law's range"];
    return [make("tr", {}, make("th", { scope: "row" }, one.name), ...cells.map((text) => make("td", {}, text)))];
  });
  byId("here").replaceChildren(...rows);
}

function showBeyond() {
  const far = columns.flatMap((column, i) => {
    const value = state.values[column.name];
    const [low, high] = column.measured;
    const bounded = column.name === "domain_share" || low <= 0;
    const slack = bounded ? SHARE_SLACK * (high - low || 1) : 0;
    const factor = bounded ? 1 : column.verified * (1 + 1e-6);
    const above = value > high * factor + slack;
    const below = !column.upward && value < low / factor - slack;
    sliders[i].row.classList.toggle("beyond", above || below);
    const edge = above ? high : low;
    const times = bounded ? "" : `${rounded(above ? value / high : low / value, 2)} times `;
    return above || below
      ? [`${column.label} ${shown(column, value)} lies ${times}beyond the ${above ? "largest" : "smallest"} of the runs (${shown(column, edge)})`]
      : [];
  });
  byId("beyond").textContent = far.length ? `${said(far)}: nothing was measured there, and on public tables intervals were too narrow beyond the runs.` : "";
}

// How much of the tokens of a mixture differs from the nearest mixture of the runs.
function showMixture() {
  const far = points.run.map((_, row) => sum(state.shares.map((own, i) => abs(own - points.x[columns.length + i][row]))) / 2);
  byId("near").textContent = `In the nearest mixture of the runs, ${percent(far.reduce((a, b) => minimum(a, b)))} of the tokens differ.`;
}

function baseline(e) {
  const typed = parsed(state.before);
  if (state.limited !== "all" && typed > 0) return { loss: () => typed, mean: typed };
  const holds = (name, value) => {
    const g = groups.findIndex((group) => group.name === name);
    const own = page.column(name) >= 0 ? state.values[name] : g >= 0 ? groups[g].labels[state.labels[g]] : state.of[name];
    return typeof value === "number" ? abs(Number(own) / value - 1) < 1e-6 : own === value;
  };
  const found = limit.baselines.find((one) => one.eval === e && Object.entries(one.at).every(([k, v]) => holds(k, v)));
  return found ? { loss: baselineOf(found), mean: found.mean } : null;
}

function showLimit(study) {
  if (!limit) return;
  const turning = state.rule === "turning-point";
  const sets = state.limited === "all" ? limit.evals : [state.limited];
  byId("size-field").hidden = byId("before-field").hidden = turning;
  if (sets.length > 1) byId("before-field").hidden = true;
  const before = sets.map(baseline);
  byId("before").placeholder = before[0] ? `${rounded(before[0].mean, 4)}, measured` : `type it (${unit})`;
  const say = (ratio, safe = "", ends = "") => {
    byId("ratio").textContent = ratio;
    byId("safe").textContent = safe;
    byId("ends").textContent = ends;
  };
  if (!turning && before.includes(null)) {
    const missing = "No run at D = 0 has these sizes and labels: type the loss before training.";
    return say("–", sets.length > 1 ? "No run at D = 0 has these sizes and labels: choose one loss and type it." : missing);
  }
  const ratios = sets.map((e, i) =>
    study.criticalRatio(vector(), { eval: e, rule: state.rule, size: state.size, baseline: before[i]?.loss }),
  );
  if (ratios.includes(null)) return say("–", "These values lie outside the law's range.");
  const low = maximum(...ratios.map((one) => one.low));
  const high = minimum(...ratios.map((one) => one.high));
  const all = ratios[0].draws.map((_, d) => minimum(...ratios.map((one) => one.draws[d])));
  const own = summary(all, prob);
  const end = (value) => (value >= high ? `≥ ${rounded(high)}` : value <= low ? `≤ ${rounded(low)}` : rounded(value));
  const part = (holds) => probability(Array.from(all, holds));
  const share = state.values.domain_share;
  const safe = share >= low && share <= high
    ? `P(${rounded(share)} is safe): ${part((r) => r >= share && r > low)}`
    : `The share ${rounded(share)} lies outside the law's range, ${rounded(low)} to ${rounded(high)}.`;
  say(
    `${end(own.median)} (${end(own.lower)} to ${end(own.upper)})`,
    safe,
    `Median and ${percent(prob)} interval. P(no share is safe): ${part((r) => r <= low)}; P(every share is): ${part((r) => r >= high)}.`,
  );
}

let dragging = false;
let waiting = false;

function dragged() {
  dragging = true;
  schedule();
}

function schedule() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    update();
  });
}

// After a drag the figure takes the range of losses that fits; while dragging it only grows.
function refresh() {
  dragging = false;
  schedule();
}

let plotted = "";

function update() {
  const study = page.study(state.labels, state.mode);
  drawn = { ...bands(study), marks: marked() };
  const fitting = span(drawn);
  range = dragging && range ? [minimum(range[0], fitting[0]), maximum(range[1], fitting[1])] : fitting;
  if (plotted !== state.axis) newPlot();
  else plot.setData(data());
  plotted = state.axis;
  reached = -1;
  tell(null);
  columns.forEach((column, i) => {
    const value = state.values[column.name];
    const own = Number(sliders[i].range.value);
    // A slider near a measured level has its value and keeps its own place, so that keys can leave the level.
    const free = fromStep(column, own) === value ? own : toStep(column, value);
    sliders[i].show(column.group === null ? free : state.labels[column.group], shown(column, value));
  });
  shares.forEach((one, i) => one.show(Math.round(STEPS * state.shares[i]), rounded(state.shares[i])));
  chosen.forEach((select, g) => select && (select.value = state.labels[g]));
  described.forEach((select, i) => (select.value = state.of[features[i]]));
  byId("axis").value = state.axis;
  document.querySelectorAll("input[name=mode]").forEach((one) => (one.checked = one.value === state.mode));
  document.querySelectorAll("input[name=shown]").forEach((one) => (one.checked = !state.hidden.has(Number(one.value))));
  if (limit) {
    byId("limited").value = state.limited;
    byId("rule").value = state.rule;
    const size = state.rule === "max_rise" ? 100 * state.size : state.size;
    if (document.activeElement !== byId("size")) byId("size").value = rounded(size, 6);
    document.querySelector("label[for=size]").textContent = `Rise of at most (${state.rule === "max_rise" ? "%" : unit})`;
    if (document.activeElement !== byId("before")) byId("before").value = state.before;
  }
  showHere(study);
  showBeyond();
  if (sources.length) showMixture();
  showLimit(study);
  const names = evals.filter((_, e) => !state.hidden.has(e)).map((one) => `${one.name} loss`);
  byId("plot").setAttribute(
    "aria-label",
    `${said(names) || "No loss"} along ${axisColumn().label}, with ${percent(prob)} bands and the measured runs; arrow keys step from run to run`,
  );
  try {
    history.replaceState(null, "", `#${written()}`);
  } catch {
    // a page without an address keeps its state to itself
  }
}

// What the figure shows, with the columns of `bayeslaw predict`; measured runs have their loss in place of a band.
function table() {
  const names = [...columns.map((one) => one.name), ...sources.map((one) => SHARE + one.name)];
  const labels = groups.filter((group) => page.column(group.name) < 0);
  const chosenLabels = labels.map((group) => group.labels[state.labels[groups.indexOf(group)]]);
  const what = modes().find(([name]) => name === state.mode)[1];
  const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const rows = [[...names, ...labels.map((one) => one.name), "eval", "of", "mean", "sd", "lower", "upper", "measured", "run"]];
  evals.forEach((one, e) => {
    drawn.vectors.forEach((here, i) => {
      const own = drawn.bands[e][i];
      if (own) rows.push([...here, ...chosenLabels, one.name, what, own.mean, own.sd, own.lower, own.upper, "", ""]);
    });
  });
  for (const one of drawn.marks.filter((mark) => mark.full))
    rows.push([...points.x.map((values) => values[one.row]), ...chosenLabels, evals[one.e].name, "", "", "", "", "", one.loss, one.run]);
  return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function start() {
  const used = points.total > points.run.length ? `; ${points.run.length} of ${points.total} rows are shown` : "";
  byId("about").textContent = `${CONTENT.draws} draws of the ${CONTENT.of}, computed in this page. ${evals.length > 1 ? "Lines: means; bands" : "Line: mean; band"}: ${percent(prob)} interval; points: measured runs${used}, pale where other values than those of the sliders were set.`;
  byId("cautions").textContent = CONTENT.cautions.map((text) => `Caution: ${text}.`).join(" ");
  byId("prob").textContent = `${percent(prob)} interval`;
  byId("unit").textContent = `In ${CONTENT.unit}.`;
  byId("axis").append(...axes().map(([value, text]) => make("option", { value }, text)));
  byId("axis").addEventListener("change", (event) => {
    state.axis = event.target.value;
    refresh();
  });
  byId("losses").append(
    ...evals.map((one, e) => {
      const box = make("input", { type: "checkbox", name: "shown", value: e });
      box.addEventListener("change", () => {
        state.hidden[box.checked ? "delete" : "add"](e);
        refresh();
      });
      const key = make("span", { className: "key" });
      key.style.background = `var(--c${e % 6})`;
      return make("label", {}, box, key, one.name);
    }),
  );
  byId("modes").append(
    ...modes().map(([value, text]) => {
      const button = make("input", { type: "radio", name: "mode", value });
      button.addEventListener("change", () => {
        state.mode = value;
        refresh();
      });
      return make("label", {}, button, text);
    }),
  );
  if (limit) startLimit();
  byId("download").addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    make("a", { href: url, download: "losses.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    byId("done").textContent = "Written to losses.csv.";
  });
  byId("link").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      byId("done").textContent = "The link is in the clipboard; it opens this page as it is now.";
    } catch {
      byId("done").textContent = "Copy the address of this page: it keeps what is set here.";
    }
  });
  byId("reset").addEventListener("click", () => {
    state = initial();
    refresh();
  });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => {
    read(location.hash.slice(1));
    refresh();
  });
  new ResizeObserver(() => plot?.setSize({ width: maximum(byId("plot").clientWidth, 200), height: height() })).observe(byId("figure"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", newPlot);
  read(location.hash.slice(1));
  update();
}

function startLimit() {
  byId("limit").hidden = false;
  const named = limit.evals.map((e) => [e, `${evals[e].name} loss`]);
  const all = named.length > 1 ? [["all", "all of them"]] : [];
  byId("limited").append(...[...named, ...all].map(([value, text]) => make("option", { value }, text)));
  byId("limited-field").hidden = named.length === 1;
  byId("limited").addEventListener("change", (event) => {
    Object.assign(state, { limited: event.target.value === "all" ? "all" : Number(event.target.value), before: "" });
    refresh();
  });
  byId("rule").append(...rules().map(([value, text]) => make("option", { value }, text)));
  byId("rule").addEventListener("change", (event) => {
    Object.assign(state, { rule: event.target.value, size: 0 });
    refresh();
  });
  const typed = (id, take) =>
    byId(id).addEventListener("input", (event) => {
      const fine = take(event.target.value);
      event.target.setAttribute("aria-invalid", String(!fine));
      if (fine) schedule();
    });
  typed("size", (text) => {
    const size = parsed(text) / (state.rule === "max_rise" ? 100 : 1);
    if (!(Number.isFinite(size) && (state.rule === "max_increase" || abs(size) < 1))) return false;
    state.size = size;
    return true;
  });
  typed("before", (text) => {
    if (text.trim() !== "" && !(parsed(text) > 0)) return false;
    state.before = text.trim();
    return true;
  });
}

start();
