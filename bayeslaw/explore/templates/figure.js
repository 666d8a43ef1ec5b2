// The figure, and what it tells of a run or of the bands at the pointer.

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { ink: of("--ink"), quiet: of("--quiet"), line: of("--line"), beyond: of("--beyond"), paper: of("--paper"),
    series: evals.map((_, e) => of(`--c${e % 6}`)) };
};
const faded = (hex) => `${hex}40`;
let plot = null;
let drawn = null; // study, x, bands and matched points of the figure
let range = null; // of the losses

function bands(study) {
  const column = axisColumn();
  const value = axisValue();
  const [low, high] = [minimum(column.low, value), maximum(column.high, value)];
  const at = (i) => low + ((high - low) * i) / (POINTS - 1);
  const ratio = log(high / low);
  const x = Array.from({ length: POINTS }, (_, i) => (i === POINTS - 1 ? high : column.log ? low * exp((ratio * i) / (POINTS - 1)) : at(i)));
  const vectors = x.map(vector);
  const found = evals.map((_, e) =>
    vectors.map((here) => {
      if (state.hidden.has(e)) return null;
      if (!study.inside(here, e)) return null;
      const losses = study.losses(here, e);
      return losses.every(Number.isFinite) ? summary(losses, prob) : null;
    }),
  );
  return { x, vectors, bands: found };
}

// Whether a run has all other columns and labels where the sliders are.
function matches(row, place) {
  const here = vector(axisValues()[row]);
  const near = (value, at, column) => {
    if (column?.log) return abs(log(value / at)) < 0.02;
    return abs(value - at) <= 0.01 * (column ? column.high - column.low : 2);
  };
  return (
    points.x.every((values, i) => i === place || near(values[row], here[i], columns[i])) &&
    groups.every((group, g) => page.column(group.name) >= 0 || points.labels[g][row] === group.labels[state.labels[g]]) &&
    features.every((name) => points.of[name][row] === state.of[name])
  );
}

function marked() {
  const place = axisPlace();
  const found = [];
  points.run.forEach((run, row) => {
    const full = matches(row, place);
    evals.forEach((_, e) => {
      const loss = points.losses[e][row];
      if (loss !== null && !state.hidden.has(e)) found.push({ run, row, e, x: axisValues()[row], loss, full });
    });
  });
  return found;
}

// The losses that the figure shows: all means and runs, and bands up to as much again on both sides.
function span({ bands: all, marks }) {
  const means = all.flat().filter(Boolean);
  const core = [...means.map((one) => one.mean), ...marks.filter((one) => one.full && points.used[one.e][one.row]).map((one) => one.loss)];
  if (!core.length) return [0, 1];
  const [low, high] = [core.reduce((a, b) => minimum(a, b)), core.reduce((a, b) => maximum(a, b))];
  const room = maximum(high - low, 0.002 * abs(high));
  const bottom = maximum(means.reduce((a, one) => minimum(a, one.lower), low), low - room);
  const top = minimum(means.reduce((a, one) => maximum(a, one.upper), high), high + room);
  return [bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom)];
}

// Draw within the figure, and so far over its edges.
const clipped = (u, over, draw) => {
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(u.bbox.left - over, u.bbox.top, u.bbox.width + 2 * over, u.bbox.height);
  u.ctx.clip();
  draw(u.ctx, devicePixelRatio);
  u.ctx.restore();
};

function shade(u) {
  const { beyond, quiet } = colours();
  const [low, high] = axisColumn().measured.map((value) => u.valToPos(value, "x", true));
  const { left, top, width, height } = u.bbox;
  clipped(u, 0, (ctx, scale) => {
    for (const [from, to] of [[left, low], [high, left + width]]) {
      if (to - from < 1) continue;
      ctx.fillStyle = beyond;
      ctx.fillRect(from, top, to - from, height);
      if (to - from < 110 * scale) continue;
      ctx.fillStyle = quiet;
      ctx.font = `${12 * scale}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      ctx.fillText("beyond the runs", (from + to) / 2, top + 16 * scale);
    }
  });
}

function mark(u) {
  const { ink, paper, series } = colours();
  clipped(u, 6 * devicePixelRatio, (ctx, scale) => {
    const here = u.valToPos(axisValue(), "x", true);
    ctx.strokeStyle = ink;
    ctx.lineWidth = scale;
    ctx.setLineDash([5 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(here, u.bbox.top);
    ctx.lineTo(here, u.bbox.top + u.bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    for (const full of [false, true])
      for (const one of drawn.marks) {
        if (one.full !== full) continue;
        const [x, y, r] = [u.valToPos(one.x, "x", true), u.valToPos(one.loss, "y", true), (full ? 4 : 2.5) * scale];
        ctx.globalAlpha = full ? 1 : 0.25;
        ctx.beginPath();
        if (one.e % 2) ctx.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
        else ctx.arc(x, y, r, 0, 2 * Math.PI);
        ctx.fillStyle = points.used[one.e][one.row] ? series[one.e] : paper;
        ctx.fill();
        ctx.strokeStyle = full && points.used[one.e][one.row] ? paper : series[one.e];
        ctx.lineWidth = scale;
        ctx.stroke();
      }
    ctx.globalAlpha = 1;
  });
}

function height() {
  return window.innerWidth <= 832 ? minimum(300, maximum(220, 0.4 * window.innerHeight)) : 460;
}

function newPlot() {
  plot?.destroy();
  const { ink, quiet, line, series } = colours();
  const column = axisColumn();
  const axis = { stroke: quiet, font: "12px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif",
    grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const label = (values) => values.map((value) => (value === null ? "" : column.counted ? amount(value) : rounded(value, 4)));
  const paths = { points: { show: false }, spanGaps: false };
  const lines = evals.flatMap((_, e) => [
    { ...paths, stroke: null, width: 0 },
    { ...paths, stroke: null, width: 0 },
    { ...paths, stroke: series[e], width: 2, dash: e >= 6 ? [8, 4] : undefined },
  ]);
  const options = {
    width: maximum(byId("plot").clientWidth, 200),
    height: height(),
    padding: [8, 14, 0, 0],
    legend: { show: false },
    pxAlign: 0,
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false, distr: column.log ? 3 : 1, range: () => [drawn.x[0], drawn.x[POINTS - 1]] }, y: { range: () => range } },
    axes: [
      { ...axis, ...(column.log ? { splits: decades, filter: (_, values) => values } : {}), label: column.label, values: (_, values) => label(values), space: 60, size: 34, labelSize: 20 },
      { ...axis, label: `loss (${CONTENT.unit})`, values: (_, values) => values.map((value) => rounded(value, 6)), size: 58, labelSize: 20 },
    ],
    series: [{}, ...lines],
    bands: evals.map((_, e) => ({ series: [3 * e + 2, 3 * e + 1], fill: faded(series[e]) })),
    hooks: { drawClear: [shade], draw: [mark], setCursor: [hover] },
  };
  plot = new uPlot(options, data(), byId("plot"));
  plot.over.addEventListener("click", () => nearest(plot.cursor.left, plot.cursor.top).forEach(goTo));
  plot.over.addEventListener("mouseleave", () => tell(null));
}

// Where a logarithmic axis has its numbers: at every decade, and between them where decades are few.
function decades(u, axis, low, high) {
  const [first, last] = [Math.floor(log10(low)), Math.ceil(log10(high))];
  const far = log10(high / low);
  const within = far > 3 ? [1] : far > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return powers.flatMap((power) => within.map((n) => Number(`${n}e${power}`))).filter((x) => x >= low * 0.999 && x <= high * 1.001);
}

const data = () => [
  drawn.x,
  ...drawn.bands.flatMap((own) => ["lower", "upper", "mean"].map((key) => own.map((one) => (one ? one[key] : null)))),
];

function nearest(left, top) {
  let best = null;
  for (const one of drawn.marks) {
    const far = Math.hypot(plot.valToPos(one.x, "x") - left, plot.valToPos(one.loss, "y") - top) + (one.full ? 0 : 6);
    if (far < 14 && (!best || far < best.far)) best = { ...one, far };
  }
  return best ? [best] : [];
}

function aboutRun({ run, row, e, loss, full }) {
  const at = columns.map((column, i) => `${column.name.replace("_", " ")} ${shown(column, points.x[i][row])}`);
  sources.forEach((one, i) => at.push(`${one.name} ${rounded(points.x[columns.length + i][row])}`));
  groups.forEach((group, g) => page.column(group.name) < 0 && at.push(`${group.name} ${points.labels[g][row]}`));
  const notes = [full ? "" : "at other values than the sliders", points.used[e][row] ? "" : "not used by the fit"];
  return [`${run}: ${evals[e].name} loss ${rounded(loss, 4)}`, at.join(", "), ...notes.filter(Boolean)].join("\n");
}

function aboutBands(i) {
  const column = axisColumn();
  const here = evals.flatMap((one, e) => {
    const own = drawn.bands[e][i];
    return own ? [`${one.name} ${rounded(own.mean, 4)} (${rounded(own.lower, 4)} to ${rounded(own.upper, 4)})`] : [];
  });
  return here.length ? [`${column.label} ${shown(column, drawn.x[i])}`, ...here].join("\n") : null;
}

function tell(text, left, top) {
  const told = byId("told");
  told.hidden = text === null;
  if (text === null) return;
  told.textContent = text;
  const { offsetLeft, offsetTop, clientWidth } = plot.over;
  told.style.left = `${maximum(0, minimum(left + offsetLeft + 14, offsetLeft + clientWidth - told.offsetWidth))}px`;
  told.style.top = `${maximum(0, top + offsetTop - told.offsetHeight - 12)}px`;
}

function hover(u) {
  const { left, top, idx } = u.cursor;
  if (left < 0 || idx === null || idx === undefined) return;
  const [run] = nearest(left, top);
  if (run) tell(aboutRun(run), u.valToPos(run.x, "x"), u.valToPos(run.loss, "y"));
  else tell(aboutBands(idx), left, top);
}

// Put the sliders where a run is.
function goTo({ row }) {
  columns.forEach((column, i) => setColumn(column, points.x[i][row]));
  state.shares = sources.map((_, i) => points.x[columns.length + i][row]);
  groups.forEach((group, g) => {
    const place = group.labels.indexOf(points.labels[g][row]);
    if (page.column(group.name) < 0 && place >= 0) state.labels[g] = place;
  });
  for (const name of features) state.of[name] = points.of[name][row];
  refresh();
}

let reached = -1;
byId("plot").addEventListener("keydown", (event) => {
  const full = drawn.marks.filter((one) => one.full).sort((a, b) => a.x - b.x || a.e - b.e);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (event.key === "Escape") tell(null);
  if (event.key === "Enter" && full[reached]) goTo(full[reached]);
  if (!step || !full.length) return;
  event.preventDefault();
  reached = (reached + step + full.length + (reached < 0 && step < 0 ? 1 : 0)) % full.length;
  const one = full[reached];
  tell(aboutRun(one), plot.valToPos(one.x, "x"), plot.valToPos(one.loss, "y"));
});
byId("plot").addEventListener("blur", () => tell(null));
