// What the page computes: losses of every draw, their bands, and the critical ratio. It knows no element of the page.
const { exp, log, log10, abs, sqrt } = Math;
const maximum = Math.max;
const minimum = Math.min;
const where = (condition, yes, no) => (condition ? yes : no);

const numbers = (text) => new Float64Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);

// Quantiles of sorted numbers, linear between neighbours.
function quantile(sorted, level) {
  const place = (sorted.length - 1) * level;
  const below = Math.floor(place);
  const above = minimum(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

function summary(values, prob) {
  let mean = 0;
  for (const value of values) mean += value / values.length;
  let variance = 0;
  for (const value of values) variance += (value - mean) ** 2 / values.length;
  const sorted = Float64Array.from(values).sort();
  const ends = [(1 - prob) / 2, 0.5, (1 + prob) / 2].map((level) => quantile(sorted, level));
  return { mean, sd: sqrt(variance), lower: ends[0], median: ends[1], upper: ends[2] };
}

// The basis functions of one factor of a misfit at a value of its column.
function factorOf({ column, unit, log: inDecades, length, variance, middle, functions, ...written }) {
  const knots = numbers(written.knots);
  const ofKnots = numbers(written.of_knots);
  const ofPowers = numbers(written.of_powers);
  const powers = ofPowers.length / functions;
  return (x) => {
    const at = inDecades ? log10(maximum(x[column], 1e-300)) : x[column] / unit;
    const near = knots.map((knot) => {
      const far = (sqrt(3) * abs(at - knot)) / length;
      return variance * (1 + far) * exp(-far);
    });
    const found = new Float64Array(functions);
    for (let i = 0; i < functions; i++) {
      let value = 0;
      for (let k = 0; k < near.length; k++) value += ofKnots[i * near.length + k] * near[k];
      for (let p = 0; p < powers; p++) value += ofPowers[i * powers + p] * (at - middle) ** p;
      found[i] = value;
    }
    return found;
  };
}

function processOf({ factors, order, weights }) {
  const each = factors.map(factorOf);
  const size = order.length;
  const own = numbers(weights);
  return (x) => {
    const all = each.map((factor) => factor(x)).reduce((a, b) => Array.from(a).flatMap((u) => Array.from(b, (v) => u * v)));
    const basis = order.map((i) => all[i]);
    return (number) => {
      let value = 0;
      for (let k = 0; k < size; k++) value += own[number * size + k] * basis[k];
      return value;
    };
  };
}

function engine(content, laws) {
  const { draws, evals, columns, groups } = content;
  const coefficients = content.coefficients.map((one) => ({ ...one, values: numbers(one.values) }));
  const width = coefficients.reduce((sum, one) => sum + one.size, 0);
  const processes = content.processes.filter((one) => one.order.length).map(processOf);
  const errors = numbers(content.errors.values);
  const exponent = content.errors.exponent && numbers(content.errors.exponent);
  const column = (name) => columns.findIndex((one) => one.name === name);
  const share = column("domain_share");

  // The coefficients of every validation set and draw for one choice of labels (their numbers).
  function coefficientsAt(labels) {
    return evals.map((_, e) => {
      const all = new Float64Array(draws * width);
      let place = 0;
      for (const { groups: own, size, values } of coefficients) {
        const block = own.reduce((sum, g) => sum * groups[g].labels.length + labels[g], 0);
        const start = (block * evals.length + e) * draws * size;
        for (let d = 0; d < draws; d++)
          for (let i = 0; i < size; i++) all[d * width + place + i] = values[start + d * size + i];
        place += size;
      }
      return Array.from({ length: draws }, (_, d) => all.subarray(d * width, (d + 1) * width));
    });
  }

  function logSize(x, labels) {
    const g = groups.findIndex((one) => one.name === "N");
    const size = column("N") >= 0 ? x[column("N")] : g >= 0 ? Number(groups[g].labels[labels[g]]) : NaN;
    return Number.isNaN(size) ? 0 : log(size / content.errors.reference);
  }

  // A study of one choice of labels: mode is "law", "misfit" (where there is one) or "new" (a new run).
  function study(labels, mode) {
    const own = coefficientsAt(labels);
    const inside = (x, e) => Boolean(laws[evals[e].role].inside(x));

    // The loss at columns x, as a function of validation set and draw.
    function at(x, error = mode === "new") {
      const misfit = mode === "law" ? [] : processes.map((process) => process(x));
      const size = error && exponent ? logSize(x, labels) : 0;
      return (e, d) => {
        let loss = laws[evals[e].role].loss(x, own[e][d]);
        if (misfit.length) loss *= exp(misfit.reduce((sum, one) => sum + one(e * draws + d), 0));
        if (error) loss *= exp(errors[e * draws + d] * (exponent ? exp(-exponent[d] * size) : 1));
        return loss;
      };
    }

    const losses = (x, e) => {
      const loss = at(x);
      return Float64Array.from({ length: draws }, (_, d) => loss(e, d));
    };

    // The largest safe share of every draw; excess(share) is a function of the draw that is above 0 where none is safe.
    function lastBelow(excess, low, high, points) {
      const grid = Array.from({ length: points }, (_, i) => (i === points - 1 ? high : low + ((high - low) / (points - 1)) * i));
      const found = new Float64Array(draws).fill(high);
      const open = new Set(Array.from({ length: draws }, (_, d) => d));
      for (let i = 0; i < points && open.size; i++) {
        const above = excess(grid[i]);
        for (const d of open) {
          if (above(d) <= 0) continue;
          open.delete(d);
          found[d] = i === 0 ? low : crossing((share) => excess(share)(d), grid[i - 1], grid[i]);
        }
      }
      return found;
    }

    function crossing(excess, below, above) {
      for (let step = 0; step < 60 && above - below > 1e-14; step++) {
        const middle = (below + above) / 2;
        if (excess(middle) <= 0) below = middle;
        else above = middle;
      }
      return (below + above) / 2;
    }

    // asked: {eval, rule, size, baseline(d)}. Null where the question lies outside the law's range.
    function criticalRatio(x, { eval: e, rule, size, baseline }) {
      const with_ = (share_, changes = {}) => {
        const changed = Float64Array.from(x);
        changed[share] = share_;
        for (const [name, factor] of Object.entries(changes)) changed[column(name)] *= factor;
        return changed;
      };
      const holds = Array.from({ length: 1001 }, (_, i) => i / 1000).filter((r) => inside(with_(r), e));
      if (holds.length < 2) return null;
      const [low, high] = [holds[0], holds[holds.length - 1]];
      let excess;
      if (rule === "turning-point") {
        const step = content.limit.token_step;
        excess = (r) => {
          const later = at(with_(r, { D: 1 + step }), false);
          const sooner = at(with_(r, { D: 1 - step }), false);
          return (d) => later(e, d) - sooner(e, d);
        };
      } else {
        const limit = (d) => baseline(d) * (1 + (rule === "max_rise" ? size : 0)) + (rule === "max_increase" ? size : 0);
        excess = (r) => {
          const loss = at(with_(r));
          return (d) => loss(e, d) - limit(d);
        };
      }
      return { draws: lastBelow(excess, low, high, content.limit.points), low, high };
    }

    return { inside, at, losses, criticalRatio };
  }

  return { study, column };
}

// A loss before training of the runs as a function of the draw.
function baselineOf({ mean, sd, errors }) {
  const own = errors && numbers(errors);
  return (d) => (own ? mean + sd * own[d] : mean);
}
